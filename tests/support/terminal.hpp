// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A terminal for tests: a real pseudo-terminal, and a small model of the screen that is connected to it.

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace support {

/// What a terminal of so many columns and rows shows after what was written to it. Understands printable text (wide and
/// combining characters too), CR, LF, and the sequences that erase (J, K), move up (A), move down (B) and color (m);
/// everything else it collects in `unknown`.
class ScreenModel {
 public:
  ScreenModel(std::size_t columns, std::size_t rows) : columns_(columns), height_(rows), rows_(1) {}

  void write(std::string_view bytes) {
    pending_ += bytes;
    while (!pending_.empty()) {
      const std::size_t taken = step();
      if (taken == 0) return;  // the rest of a sequence is to come
      pending_.erase(0, taken);
    }
  }

  /// Breaks lines anew, as most terminals do, or cuts them off, as xterm does.
  void resize(std::size_t columns, std::size_t rows, bool reflow = true);

  /// All lines, also those that scrolled out at the top; without blanks at the ends, and without empty lines at the end.
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const Row& row : rows_) all.push_back(text_of(row));
    while (!all.empty() && all.back().empty()) all.pop_back();
    return all;
  }
  [[nodiscard]] std::size_t cursor_row() const { return row_; }  ///< as an index of `lines()`
  [[nodiscard]] std::size_t cursor_column() const { return column_; }
  [[nodiscard]] const std::string& unknown() const { return unknown_; }
  [[nodiscard]] bool colored() const { return colored_; }  ///< what is written now
  [[nodiscard]] bool was_colored() const { return was_colored_; }
  [[nodiscard]] std::size_t wraps() const { return wraps_; }  ///< how often a line did not fit

 private:
  struct Row {
    std::vector<std::string> cells{};  // an empty one follows a wide character
    bool goes_on = false;              // in the next row
  };

  static std::string text_of(const Row& row) {
    std::string text;
    for (const std::string& cell : row.cells) text += cell;
    return text.erase(text.find_last_not_of(' ') + 1);
  }
  static std::size_t width_of(char32_t c) {  // of the characters that tests use
    if ((c >= 0x300 && c < 0x370) || c == 0x200D || c == 0xFE0F) return 0;
    return (c >= 0x1100 && c < 0x1160) || (c >= 0x2E80 && c < 0xA4D0) || (c >= 0xAC00 && c < 0xD7A4) ||
                   (c >= 0xFF01 && c < 0xFF61) || (c >= 0x1F300 && c < 0x1FB00)
               ? 2
               : 1;
  }

  std::size_t step();
  std::size_t control_sequence();
  void put(std::string_view character, std::size_t width);
  void line_feed() {
    ++row_;
    while (rows_.size() <= row_) rows_.emplace_back();
    top_ = std::max(top_, row_ + 1 > height_ ? row_ + 1 - height_ : 0);
  }
  void erase_line(std::size_t row, std::size_t from) {
    if (rows_[row].cells.size() > from) rows_[row].cells.resize(from);
    rows_[row].goes_on = false;
  }

  std::size_t columns_;
  std::size_t height_;
  std::vector<Row> rows_;
  std::size_t top_ = 0;  // of the rows, the first that is on the screen
  std::size_t row_ = 0;
  std::size_t column_ = 0;
  bool full_ = false;  // the last column was written: the next character begins a row
  bool colored_ = false;
  bool was_colored_ = false;
  std::size_t wraps_ = 0;
  std::string pending_;
  std::string unknown_;
};

/// A pseudo-terminal, and the model that shows it. A thread reads what is written, so that nobody who writes has to wait.
class Terminal {
 public:
  enum class Reader {
    prompt,
    slow  ///< only `read_some` reads, and whoever asks for the screen: what has no room must not block
  };

  Terminal(std::size_t columns, std::size_t rows, Reader reader = Reader::prompt) : screen_(columns, rows) {
    winsize size = size_of(columns, rows);
    if (::openpty(&master_, &slave_, nullptr, nullptr, &size) != 0) throw std::runtime_error("openpty");
    if (::pipe(stop_) != 0) throw std::runtime_error("pipe");
    if (reader == Reader::prompt) thread_ = std::thread{[this] { read_on(); }};
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    hang_up();
    for (const int fd : {slave_, stop_[0], stop_[1]}) ::close(fd);
  }

  /// Where a program writes.
  [[nodiscard]] int fd() const { return slave_; }

  void resize(std::size_t columns, std::size_t rows, bool reflow = true) {
    catch_up();
    winsize size = size_of(columns, rows);
    if (::ioctl(slave_, TIOCSWINSZ, &size) != 0) throw std::runtime_error("TIOCSWINSZ");
    screen_.resize(columns, rows, reflow);
  }

  /// Everything that has been written so far, on the screen.
  const ScreenModel& screen() {
    catch_up();
    return screen_;
  }
  [[nodiscard]] std::vector<std::string> lines() { return screen().lines(); }
  [[nodiscard]] std::string text() {
    std::string all;
    for (const std::string& line : lines()) all += line + '\n';
    return all;
  }

  /// What has been written since the last call.
  [[nodiscard]] std::string take() {
    catch_up();
    return std::exchange(taken_, {});
  }

  /// Takes at most so many bytes off.
  void read_some(std::size_t most) {
    pollfd wait{master_, POLLIN, 0};
    if (most == 0 || ::poll(&wait, 1, 0) != 1) return;
    std::string bytes(most, '\0');
    const ssize_t count = ::read(master_, bytes.data(), bytes.size());
    if (count <= 0) return;
    const std::scoped_lock lock(mutex_);
    arrived_.append(bytes, 0, static_cast<std::size_t>(count));
    changed_.notify_all();
  }

  /// Nobody is there any more.
  void hang_up() {
    if (thread_.joinable()) {
      if (::write(stop_[1], "", 1) != 1) std::abort();
      thread_.join();
    }
    if (master_ >= 0) ::close(std::exchange(master_, -1));
  }

 private:
  static constexpr char mark = '\x1e';

  static winsize size_of(std::size_t columns, std::size_t rows) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    return size;
  }
  void read_on() {
    for (;;) {
      pollfd wait[2] = {{master_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      ::poll(wait, 2, -1);
      if (wait[1].revents != 0) return;
      read_some(4096);
    }
  }
  /// A mark, written behind all that has been, tells when it has come through.
  void catch_up() {
    bool marked = false;
    for (bool through = false; !through;) {
      if (!marked)
        marked = ::write(slave_, &mark, 1) == 1;  // a full one that does not block takes it once there is room
      if (!thread_.joinable()) {
        pollfd wait{master_, POLLIN, 0};
        if (::poll(&wait, 1, patience) != 1) throw std::runtime_error("the terminal does not answer");
        read_some(4096);
      }
      std::unique_lock lock(mutex_);
      if (thread_.joinable() &&
          !changed_.wait_for(lock, std::chrono::milliseconds{patience}, [this] { return !arrived_.empty(); })) {
        throw std::runtime_error("the terminal does not answer");
      }
      std::string bytes = std::exchange(arrived_, {});
      through = std::erase(bytes, mark) > 0;
      taken_ += bytes;
      screen_.write(bytes);
    }
  }

  static constexpr int patience = 60'000;  // ms
  ScreenModel screen_;
  std::string taken_;
  int master_ = -1;
  int slave_ = -1;
  int stop_[2] = {-1, -1};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string arrived_;  // and not yet on the screen
  std::thread thread_;
};

// ---------------------------------------------------------------------------------------------------------------------

/// Takes one character or sequence off `pending_`; returns its length, 0 if it is not whole yet.
inline std::size_t ScreenModel::step() {
  const auto lead = static_cast<unsigned char>(pending_[0]);
  if (lead == 0x1B) return control_sequence();
  if (lead == '\r') {
    column_ = 0;
    full_ = false;
    return 1;
  }
  if (lead == '\n') {
    full_ = false;
    line_feed();
    return 1;
  }
  if (lead < 0x20 || lead == 0x7F) {
    unknown_ += pending_[0];
    return 1;
  }
  const std::size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (pending_.size() < bytes) return 0;
  char32_t code = bytes == 1 ? lead : lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) code = (code << 6U) | (static_cast<unsigned char>(pending_[i]) & 0x3FU);
  put(std::string_view{pending_}.substr(0, bytes), width_of(code));
  return bytes;
}

inline std::size_t ScreenModel::control_sequence() {
  if (pending_.size() < 2) return 0;
  std::size_t end = 2;
  if (pending_[1] == '[') {
    while (end < pending_.size() && (pending_[end] < 0x40 || pending_[end] > 0x7E)) ++end;
    if (end == pending_.size()) return 0;
    ++end;
  }
  const std::string sequence = pending_.substr(0, end);
  const std::string argument = end > 3 ? sequence.substr(2, end - 3) : std::string{};
  const bool plain = sequence[1] == '[' && argument.find_first_not_of("0123456789") == std::string::npos;
  const char final = sequence.back();
  const std::size_t count = plain && !argument.empty() ? std::stoul(argument) : 1;
  if (final == 'm' && sequence[1] == '[') {
    colored_ = !(argument.empty() || argument == "0");
    was_colored_ = was_colored_ || colored_;
  } else if (plain && final == 'A') {
    row_ = std::max(top_, row_ - std::min(row_, count));
    full_ = false;
  } else if (plain && final == 'B') {
    row_ = std::min(row_ + count, top_ + height_ - 1);
    while (rows_.size() <= row_) rows_.emplace_back();
    full_ = false;
  } else if (plain && final == 'K' && argument.empty()) {
    erase_line(row_, column_);
  } else if (plain && final == 'J' && argument.empty()) {
    erase_line(row_, column_);
    for (std::size_t row = row_ + 1; row < rows_.size(); ++row) erase_line(row, 0);
  } else {
    unknown_ += sequence;
  }
  return end;
}

inline void ScreenModel::put(std::string_view character, std::size_t width) {
  if (width == 0) {
    auto& cells = rows_[row_].cells;
    const std::size_t before = full_ ? column_ : column_ - std::min<std::size_t>(1, column_);
    if (before < cells.size()) cells[before] += character;
    return;
  }
  if (full_ || column_ + width > columns_) {
    rows_[row_].goes_on = true;
    ++wraps_;
    line_feed();
    column_ = 0;
    full_ = false;
  }
  auto& cells = rows_[row_].cells;
  if (cells.size() < column_ + width) cells.resize(column_ + width, " ");
  cells[column_] = character;
  if (width == 2) cells[column_ + 1].clear();
  column_ += width;
  if (column_ >= columns_) {
    column_ = columns_ - 1;
    full_ = true;
  }
}

inline void ScreenModel::resize(std::size_t columns, std::size_t rows, bool reflow) {
  columns_ = columns;
  height_ = rows;
  full_ = false;
  if (!reflow) {
    for (Row& row : rows_) {
      if (row.cells.size() > columns) row.cells.resize(columns);
    }
    column_ = std::min(column_, columns - 1);
  } else {
    std::vector<Row> broken;
    std::size_t row_after = 0;
    std::size_t column_after = 0;
    for (std::size_t row = 0; row < rows_.size();) {
      std::vector<std::string> line;
      std::size_t cursor = std::string::npos;
      for (bool goes_on = true; goes_on && row < rows_.size(); ++row) {
        if (row == row_) cursor = line.size() + column_;
        line.insert(line.end(), rows_[row].cells.begin(), rows_[row].cells.end());
        goes_on = rows_[row].goes_on;
      }
      while (!line.empty() && line.back() == " ") line.pop_back();
      std::size_t begin = 0;
      do {
        std::size_t end = std::min(line.size(), begin + columns);
        if (end < line.size() && line[end].empty()) --end;  // not through a wide character
        if (cursor != std::string::npos && cursor >= begin) {
          row_after = broken.size();
          column_after = std::min(cursor - begin, columns - 1);
        }
        const auto at = [&](std::size_t i) { return line.begin() + static_cast<std::ptrdiff_t>(i); };
        broken.push_back({{at(begin), at(end)}, end < line.size()});
        begin = end;
      } while (begin < line.size());
    }
    rows_ = std::move(broken);
    row_ = row_after;
    column_ = column_after;
  }
  std::size_t used = rows_.size();
  while (used > row_ + 1 && text_of(rows_[used - 1]).empty()) --used;
  top_ = std::min(row_, used > rows ? used - rows : 0);
}

}  // namespace support
