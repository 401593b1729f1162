// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Makes of a run's events the lines of a log.

#include <atomic>
#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/list.hpp"
#include "log_file.hpp"
#include "log_line.hpp"

namespace taskmgr::detail {

/// What `Log` does.
///
/// A template for one type, `Event`: so only programs that use it compile it, and not all that include it.
template <class E>
class LogWriter : public Observer {
 public:
  using Sink = std::function<void(Level, std::string_view)>;

  explicit LogWriter(Level from = Level::debug);
  explicit LogWriter(std::string path, Level from = Level::debug) : from_(from), file_(new File(std::move(path))) {}
  explicit LogWriter(Sink sink, Level from = Level::debug);

  [[nodiscard]] std::uint64_t lost() const noexcept {
    return lost_.load(std::memory_order_relaxed) + (file_ ? file_->lost() : 0);
  }

  /// What `from` lets through, and always the start and the end of a run.
  [[nodiscard]] bool wants(EventKind kind) const override;
  void on_event(const E& event) override;
  void on_tick(const Progress&) override {
    if (file_) file_->flush();
  }

 private:
  using File = LogFile<std::string>;

  void write(const E& event, Level level);

  const Level from_;
  const Sink sink_{};
  const Owner<File> file_;  // null: there is a sink
  LogLine<E> line_{};
  std::atomic<std::uint64_t> lost_{0};  // by the sink
};

// ---------------------------------------------------------------------------------------------------------------------

template <class File>
[[nodiscard]] Owner<File> daily_log_file() {
  std::tm today{};
  const std::time_t now = std::time(nullptr);
  ::localtime_r(&now, &today);
  return Owner<File>{new File(working_directory<std::string>() + "/logs", today)};
}

template <class E>
LogWriter<E>::LogWriter(Level from) : from_(from), file_(daily_log_file<File>()) {}

template <class E>
LogWriter<E>::LogWriter(Sink sink, Level from) : from_(from), sink_(std::move(sink)) {
  if (!sink_) throw UsageError("taskmgr: a Log needs a sink that can be called; this one is empty");
}

template <class E>
bool LogWriter<E>::wants(EventKind kind) const {
  return kind == EventKind::batch_started || kind == EventKind::batch_finished || kind == EventKind::task_log ||
         level_of(kind) >= from_;
}

template <class E>
void LogWriter<E>::on_event(const E& event) {
  if (event.kind == EventKind::batch_started && file_) file_->notice_fork();
  const Level level = level_of(event);
  if (level >= from_) write(event, level);
  if (file_ && (event.kind == EventKind::batch_finished || level >= Level::warning)) file_->flush();
}

template <class E>
void LogWriter<E>::write(const E& event, Level level) {
  try {
    const std::string_view line = line_.of(event, level);
    if (file_) {
      file_->add(line, line_.time());
    } else {
      sink_(level, line);
    }
  } catch (...) {  // the sink, or no memory
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace taskmgr::detail
