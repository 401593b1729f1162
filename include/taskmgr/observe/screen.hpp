// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The lines at the bottom of a terminal in which the bars of this process stand, each below the other.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "../core/list.hpp"
#include "bar_line.hpp"
#include "terminal.hpp"
#include "text.hpp"

namespace taskmgr::detail {

/// Draws the bars of this process on terminals.
///
/// How it draws. After each redraw the cursor stands at the start of the first bar, and a redraw begins where the
/// cursor stands: it writes the bars anew, erases what is below them, and goes back up. So nothing above the cursor is
/// ever touched: what the program, or a shell in between, has written there stays, and when a terminal breaks the lines
/// anew because it has become narrower, their remains are below the cursor and go. A redraw is one `write`. It sets no
/// state that would have to be reset: the cursor stays visible, lines are shorter than the terminal is wide, colours
/// end with the line.
///
/// At the end of the process (`std::exit` or the end of `main`) the cursor is put below the bars that are left.
///
/// Thread safety: any number of threads may call. In a forked child the bars of the parent do not exist.
class Screen {
 public:
  using Bar = std::uint64_t;

  /// That of this process; it lives forever.
  [[nodiscard]] static Screen& instance();

  /// A place for a bar below those that are there. Nothing is drawn yet. Never 0. Throws `std::bad_alloc`.
  [[nodiscard, gnu::cold]] Bar open(int fd, Looks looks);

  /// Shows the bar so from now on. Where several bars are updated in turn, they are redrawn together once for a round,
  /// so that all bars make no more redraws than the busiest alone. Left out while the terminal takes nothing, or
  /// another process has it.
  [[gnu::cold]] void update(Bar bar, BarState state);

  /// Takes the bar away. `last`, if it is not null, stays as a line above the other bars.
  [[gnu::cold]] void close(Bar bar, const BarState* last);

  /// Writes whole lines to `fd`, above the bars if `fd` is the terminal where they are. Was all of it written?
  [[gnu::cold]] bool print_above(int fd, std::string_view text);

  /// Puts the cursor below the bars, which from then on are not redrawn.
  [[gnu::cold]] void leave();

 private:
  struct Line {
    Bar bar;
    int fd;
    Looks looks;
    BarState state{};
    bool shown = false;
    bool fresh = false;  // updated since the last redraw
    bool late = false;   // not updated between the last two: nobody waits for it
  };
  /// A terminal on which there are bars.
  struct Device {
    FileIdentity identity;
    List<Line> lines{};
    std::size_t rows = 0;     // on which bars were drawn last, the cursor in the first
    std::string unwritten{};  // the rest of a write that found no room; nothing may come before it
    bool broken = false;      // it takes nothing any more
  };

  /// How wide the bars of a device and their labels may be.
  struct Layout {
    [[gnu::cold]] Layout(const Device& device, int fd, std::string_view label);
    std::size_t columns;
    std::size_t label_columns;
    std::size_t rows;
  };

  explicit Screen(const Screen* parent) : parent_(parent), last_(parent != nullptr ? parent->last_ : 0) {}
  [[nodiscard]] Device* device_of(Bar bar) noexcept;
  [[nodiscard, gnu::cold]] static std::string drawing(Device& device, int fd);
  [[gnu::cold]] static bool send(Device& device, int fd, std::string_view text, int patience);

  const pid_t process_ = ::getpid();
  const Screen* const parent_;  // what was inherited stays reachable, for leak checkers; its lock may be held for ever
  std::mutex mutex_;
  List<Device> devices_;
  Bar last_;
  bool left_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

inline Screen& Screen::instance() {
  static constinit std::atomic<Screen*> current{nullptr};  // never freed: runs may end after main
  Screen* seen = current.load(std::memory_order_acquire);
  while (seen == nullptr || seen->process_ != ::getpid()) {
    Owner<Screen> fresh{new Screen{seen}};
    if (current.compare_exchange_strong(seen, fresh.get(), std::memory_order_acq_rel)) {
      // In a child this handler is inherited: there it finds the child's screen, or none.
      if (fresh->parent_ == nullptr) {
        std::atexit([] {
          Screen* screen = current.load(std::memory_order_acquire);
          if (screen != nullptr && screen->process_ == ::getpid()) screen->leave();
        });
      }
      return *fresh.release();
    }
  }
  return *seen;
}

inline Screen::Device* Screen::device_of(Bar bar) noexcept {
  for (Device& device : devices_) {
    for (const Line& line : device.lines) {
      if (line.bar == bar) return &device;
    }
  }
  return nullptr;
}

inline Screen::Bar Screen::open(int fd, Looks looks) {
  const FileIdentity identity = identity_of(fd);
  const std::scoped_lock lock(mutex_);
  Device* device = devices_.begin();
  while (device != devices_.end() && !(device->identity == identity)) ++device;
  if (device == devices_.end()) {
    devices_.push_back({.identity = identity});
    device = &devices_.back();
  }
  device->lines.push_back({.bar = last_ + 1, .fd = fd, .looks = looks});
  return ++last_;
}

inline Screen::Layout::Layout(const Device& device, int fd, std::string_view label) {
  const TerminalSize size = terminal_size(fd);
  columns = std::max<std::size_t>(4, size.columns - 1);  // in the last one, terminals disagree on wrapping
  rows = std::max<std::size_t>(1, size.rows - 1);        // what scrolled out at the top could not be erased
  label_columns = columns_of(label);
  for (const Line& line : device.lines) {
    if (line.shown) label_columns = std::max(label_columns, columns_of(line.state.label));
  }
  label_columns = std::min(label_columns, std::max<std::size_t>(8, size.columns / 3));
}

/// The bars, drawn from the line of the cursor on, and the cursor back there. What was below is erased.
inline std::string Screen::drawing(Device& device, int fd) {
  const Layout layout{device, fd, {}};
  List<BarLine> bars;
  for (Line& line : device.lines) {
    line.late = !std::exchange(line.fresh, false);
    if (line.shown) bars.push_back({line.state, layout.columns, layout.label_columns, line.looks});
  }
  const std::size_t shown = bars.size();
  if (shown > layout.rows) {
    while (bars.size() >= layout.rows) bars.pop_back();
  }
  std::size_t bar_columns = layout.columns;  // that of the shortest, for all
  for (const BarLine& bar : bars) {
    if (bar.bar_columns() > 0) bar_columns = std::min(bar_columns, bar.bar_columns());
  }
  std::string out = "\r";
  std::size_t rows = 0;
  const auto next_row = [&] {
    if (rows++ > 0) out += "\x1b[K\r\n";
  };
  for (const BarLine& bar : bars) {
    next_row();
    out += bar.text(bar_columns);
  }
  if (bars.size() < shown) {
    next_row();
    std::string more = "and ";
    append_number(more, shown - bars.size());
    more += " more";
    out += cut_to(more, layout.columns, false);
  }
  out += "\x1b[J\r";
  if (rows > 1) {
    out += "\x1b[";
    append_number(out, rows - 1);
    out += 'A';
  }
  device.rows = rows;
  return out;
}

/// Was all of it written? What found no room is kept for later, if there is nothing else to hope for.
inline bool Screen::send(Device& device, int fd, std::string_view text, int patience) {
  if (device.broken) return false;
  if (!device.unwritten.empty()) {
    device.unwritten += text;
    text = device.unwritten;
  }
  const Written written = write_all(fd, text, patience);
  device.broken = written.error != 0 && written.error != EAGAIN;
  device.unwritten = std::string{text.substr(written.bytes)};
  return written.error == 0;
}

inline void Screen::update(Bar bar, BarState state) {
  const std::scoped_lock lock(mutex_);
  Device* device = device_of(bar);
  if (device == nullptr || left_) return;
  bool again = false;  // since the last redraw
  bool all = true;
  int fd = -1;
  for (Line& line : device->lines) {
    if (line.bar == bar) {
      fd = line.fd;
      again = line.fresh;
      line.state = std::move(state);
      line.shown = true;
      line.fresh = true;
      line.late = false;
    }
    all = all && (line.fresh || line.late || !line.shown);
  }
  if (!again && !all) return;
  if (!has_room(fd) || !in_foreground(fd)) return;
  // Half a drawing has to be completed before the next, which then shows what there is by that time.
  send(*device, fd, device->unwritten.empty() ? drawing(*device, fd) : std::string{}, 0);
}

inline void Screen::close(Bar bar, const BarState* last) {
  const std::scoped_lock lock(mutex_);
  Device* device = device_of(bar);
  if (device == nullptr) return;
  Line* at = device->lines.begin();
  while (at->bar != bar) ++at;
  const Line line = std::move(*at);
  device->lines.erase(at);
  std::string out;
  if (last != nullptr) {
    const Layout layout{*device, line.fd, last->label};
    out += '\r';
    out += BarLine{*last, layout.columns, layout.label_columns, line.looks}.text();
    out += "\x1b[K\r\n";
  }
  if (left_ || !in_foreground(line.fd)) {
    device->rows = 0;
  } else if (last != nullptr || line.shown) {
    out += drawing(*device, line.fd);
  }
  constexpr int patience = 1000;  // ms: a last word is worth waiting for
  if (!out.empty()) send(*device, line.fd, out, patience);
  if (device->lines.empty()) devices_.erase(device);
}

inline bool Screen::print_above(int fd, std::string_view text) {
  if (text.empty()) return true;
  const bool ended = text.back() == '\n';
  std::string out;
  const std::scoped_lock lock(mutex_);
  const FileIdentity identity = devices_.empty() ? FileIdentity{} : identity_of(fd);
  for (Device& device : devices_) {
    if (left_ || device.rows == 0 || device.broken || !identity.known || !(device.identity == identity)) continue;
    if (!in_foreground(fd)) {
      device.rows = 0;  // who works there now goes on below what we drew
      break;
    }
    out = "\r\x1b[J";
    out += text;
    out += ended ? "\r" : "\r\n";
    out += drawing(device, fd);
    return send(device, fd, out, -1);
  }
  out = text;
  if (!ended) out += '\n';
  return write_all(fd, out, -1).error == 0;
}

inline void Screen::leave() {
  const std::scoped_lock lock(mutex_);
  left_ = true;
  for (Device& device : devices_) {
    if (device.rows == 0) continue;
    // Line feeds scroll at the lower edge, where a cursor movement would stop.
    std::string down(device.rows, '\n');
    down += '\r';
    send(device, device.lines[0].fd, down, 100);
    device.rows = 0;
  }
}

}  // namespace taskmgr::detail
