// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Makes of a run's events those of a trace.

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/list.hpp"
#include "../core/names.hpp"
#include "json_text.hpp"
#include "log_line.hpp"
#include "text.hpp"
#include "timeline.hpp"
#include "trace_file.hpp"

namespace taskmgr::detail {

/// What `ChromeTrace` does.
///
/// A template for one type, `Event`: so only programs that use it compile it, and not all that include it.
template <class E>
class TraceWriter : public Observer {
 public:
  explicit TraceWriter(std::string path) : file_(new TraceFile(path)) {}

  [[nodiscard]] std::uint64_t lost() const noexcept { return file_->lost(); }

  [[nodiscard]] bool wants(EventKind kind) const override { return kind != EventKind::task_duplicate; }
  void on_event(const E& event) override;
  void on_tick(const Progress&) override { file_->flush(); }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Gap = typename Timeline<E>::Gap;
  using Ended = typename Timeline<E>::Ended;

  /// A process of the trace.
  struct Process {
    std::string name;  // of manager and stage
    bool used = true;  // by a run that lasts
    std::size_t named_rows = 0;
  };
  struct Run {
    std::uint64_t batch;
    std::size_t process;  // from 0
    Timeline<E> times;
  };

  void tell(const E& event);
  [[nodiscard]] Run& begin(const E& event);
  void end(Run& run, const E& event);
  [[nodiscard]] std::size_t process_for(const E& event);
  void name_rows(std::size_t process, std::size_t rows);

  // --- a line
  void open(std::string_view phase, std::size_t process, std::string_view name, std::string_view category, TimePoint time);
  void open_on_row(std::string_view phase, const Run& run, std::size_t worker, std::string_view name,
                   std::string_view category, TimePoint time);
  void write();
  void write_wait(const Run& run, std::size_t worker, const Gap& gap);
  void write_attempt(const Run& run, const E& event, const Ended& ended);
  void write_retry(const Run& run, const E& event, bool begins);
  void write_word(const Run& run, const E& event);
  void write_batch(const Run& run, const E& event);
  void append_time(std::chrono::nanoseconds time);

  const Owner<TraceFile> file_;
  const TimePoint origin_ = std::chrono::steady_clock::now();
  List<Process> processes_{};
  List<Owner<Run>> runs_{};  // that last
  std::string line_{};
};

// ---------------------------------------------------------------------------------------------------------------------

/// What an attempt came to.
[[nodiscard]] inline std::string_view outcome_of(EventKind kind) noexcept {
  return kind == EventKind::task_cancelled ? "cancelled" : words_for(kind);
}

/// The task as text; as "task 17" where it has none, or its formatter throws.
[[nodiscard]] inline std::string label_of(const Event& event) {
  std::string text;
  try {
    text = event.task_text();
  } catch (...) {  // by the user's own formatter
  }
  if (text.empty()) {
    text = "task ";
    append_number(text, event.task);
  }
  return text;
}

template <class E>
void TraceWriter<E>::on_event(const E& event) {
  if (event.kind == EventKind::batch_started) file_->notice_fork();
  try {
    tell(event);
  } catch (...) {  // no memory
    file_->lose(1, ENOMEM);
  }
  if (event.kind == EventKind::batch_finished) file_->flush();
}

template <class E>
void TraceWriter<E>::tell(const E& event) {
  Run* run = run_of(runs_, event.batch);
  if (run == nullptr) run = &begin(event);
  switch (event.kind) {
    case EventKind::batch_started: write_batch(*run, event); break;
    case EventKind::batch_finished: end(*run, event); break;
    case EventKind::task_started:
      write_wait(*run, event.worker, run->times.begin(event));
      if (event.attempt > 1) write_retry(*run, event, false);
      break;
    case EventKind::task_retrying:
    case EventKind::task_succeeded:
    case EventKind::task_failed:
    case EventKind::task_cancelled: {
      const Ended ended = run->times.end(event);
      if (ended.ran) {
        write_wait(*run, event.worker, ended.before);
        write_attempt(*run, event, ended);
      }
      if (event.kind == EventKind::task_retrying) write_retry(*run, event, true);
      if (!ended.ran && event.attempt > 0) write_retry(*run, event, false);  // cancelled while it waited
      break;
    }
    case EventKind::task_progress:
    case EventKind::task_log: write_word(*run, event); break;
    case EventKind::task_duplicate: break;
  }
}

template <class E>
auto TraceWriter<E>::begin(const E& event) -> Run& {
  runs_.reserve(runs_.size() + 1);
  const std::size_t process = process_for(event);
  try {
    runs_.push_back(Owner{new Run{event.batch, process, Timeline<E>{event.time}}});
  } catch (...) {
    processes_[process].used = false;
    throw;
  }
  return *runs_.back();
}

template <class E>
void TraceWriter<E>::end(Run& run, const E& event) {
  const auto forget = [&] {
    processes_[run.process].used = false;
    for (auto& known : runs_) {
      if (known.get() == &run) return runs_.erase(&known);
    }
  };
  try {
    for (std::size_t worker = 0; worker < run.times.workers(); ++worker) {
      if (run.times.busy(worker)) run.times.forget_attempt(worker, event.time);
      write_wait(run, worker, run.times.gap_until(worker, event.time));
    }
    write_batch(run, event);
  } catch (...) {
    forget();
    throw;
  }
  forget();
}

template <class E>
std::size_t TraceWriter<E>::process_for(const E& event) {
  std::string name = name_of(event.manager, event.stage);
  std::size_t same = 1;
  for (std::size_t k = 0; k < processes_.size(); ++k) {
    Process& process = processes_[k];
    if (process.name != name) continue;
    ++same;
    if (!process.used) {
      process.used = true;
      return k;
    }
  }
  processes_.push_back({name});
  if (same > 1) {
    append_pair(name, " (", same);
    name += ')';
  }
  open("M", processes_.size() - 1, "process_name", {}, {});
  line_ += ",\"args\":{\"name\":";
  append_json(line_, name);
  line_ += '}';
  write();
  return processes_.size() - 1;
}

/// Rows count from 1: viewers take the thread 0 for the idle one of the system.
template <class E>
void TraceWriter<E>::name_rows(std::size_t process, std::size_t rows) {
  for (std::size_t& named = processes_[process].named_rows; named < rows; ++named) {
    const auto about_row = [&](std::string_view what) {
      open("M", process, what, {}, {});
      append_pair(line_, ",\"tid\":", named + 1);
    };
    about_row("thread_name");
    append_pair(line_, ",\"args\":{\"name\":\"worker ", named);
    line_ += "\"}";
    write();
    about_row("thread_sort_index");
    append_pair(line_, ",\"args\":{\"sort_index\":", named);
    line_ += '}';
    write();
  }
}

template <class E>
void TraceWriter<E>::append_time(std::chrono::nanoseconds time) {
  const std::int64_t count = time.count();
  const auto size = static_cast<std::uint64_t>(count < 0 ? -count : count);
  if (count < 0) line_ += '-';
  append_number(line_, size / 1000);
  line_ += '.';
  for (std::uint64_t digit = 100; digit > 0; digit /= 10) line_ += static_cast<char>('0' + size / digit % 10);
}

/// Metadata has neither category nor time.
template <class E>
void TraceWriter<E>::open(std::string_view phase, std::size_t process, std::string_view name, std::string_view category,
                              TimePoint time) {
  line_ = "{\"ph\":\"";
  line_ += phase;
  append_pair(line_, "\",\"pid\":", process + 1);
  line_ += ",\"name\":";
  append_json(line_, name);
  if (category.empty()) return;
  line_ += ",\"cat\":\"";
  line_ += category;
  line_ += "\",\"ts\":";
  append_time(time - origin_);
}

template <class E>
void TraceWriter<E>::open_on_row(std::string_view phase, const Run& run, std::size_t worker, std::string_view name,
                                     std::string_view category, TimePoint time) {
  name_rows(run.process, worker + 1);
  open(phase, run.process, name, category, time);
  append_pair(line_, ",\"tid\":", worker + 1);
}

template <class E>
void TraceWriter<E>::write() {
  line_ += '}';
  file_->add(line_);
}

template <class E>
void TraceWriter<E>::write_wait(const Run& run, std::size_t worker, const Gap& gap) {
  if (gap.end - gap.begin < std::chrono::microseconds{1}) return;
  open_on_row("X", run, worker, "waiting", "wait", gap.begin);
  line_ += ",\"dur\":";
  append_time(gap.end - gap.begin);
  write();
}

template <class E>
void TraceWriter<E>::write_attempt(const Run& run, const E& event, const Ended& ended) {
  open_on_row("X", run, event.worker, label_of(event), "task", ended.begin);
  line_ += ",\"dur\":";
  append_time(ended.end - ended.begin);
  append_pair(line_, ",\"args\":{\"task\":", event.task);
  append_pair(line_, ",\"attempt\":", static_cast<std::uint64_t>(event.attempt));
  append_pair(line_, ",\"run\":", event.batch);
  line_ += ",\"outcome\":\"";
  line_ += outcome_of(event.kind);
  line_ += '"';
  if (event.error != nullptr) {
    line_ += ",\"type\":";
    append_json(line_, event.error->type());
    line_ += ",\"error\":";
    append_json(line_, event.error->message());
  }
  line_ += '}';
  write();
}

/// Slices of one id belong together, whatever their names.
template <class E>
void TraceWriter<E>::write_retry(const Run& run, const E& event, bool begins) {
  open_on_row(begins ? "b" : "e", run, event.worker, label_of(event), "retry", event.time);
  append_pair(line_, ",\"id\":\"", event.batch);
  append_pair(line_, ".", event.task);
  line_ += '"';
  if (begins) {
    append_pair(line_, ",\"args\":{\"task\":", event.task);
    append_pair(line_, ",\"after_attempt\":", static_cast<std::uint64_t>(event.attempt));
    line_ += '}';
  }
  write();
}

template <class E>
void TraceWriter<E>::write_word(const Run& run, const E& event) {
  const bool log = event.kind == EventKind::task_log;
  open_on_row("i", run, event.worker, log ? event.message : "progress", log ? "log" : "progress", event.time);
  append_pair(line_, ",\"s\":\"t\",\"args\":{\"task\":", event.task);
  if (log) {
    line_ += ",\"level\":\"";
    line_ += name_of(event.level);
    line_ += '"';
  } else {
    line_ += ",\"done\":";
    append_json(line_, event.done);
    line_ += ",\"of\":";
    append_json(line_, event.of);
  }
  line_ += '}';
  write();
}

template <class E>
void TraceWriter<E>::write_batch(const Run& run, const E& event) {
  std::string name = "run ";
  append_number(name, event.batch);
  const bool ends = event.kind == EventKind::batch_finished;
  name += ends ? " finished" : " started";
  open_on_row("i", run, 0, name, "run", event.time);
  const Progress& counts = event.progress;
  append_pair(line_, ",\"s\":\"p\",\"args\":{\"workers\":", event.workers);
  append_pair(line_, ",\"total\":", counts.total);
  if (ends) {
    append_pair(line_, ",\"succeeded\":", counts.succeeded);
    append_pair(line_, ",\"failed\":", counts.failed);
    append_pair(line_, ",\"cancelled\":", counts.cancelled);
    append_pair(line_, ",\"duplicates\":", counts.duplicates);
    append_pair(line_, ",\"retries\":", counts.retries);
  }
  line_ += '}';
  write();
}

}  // namespace taskmgr::detail
