// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The manager: a function and how to run it; given tasks, it makes a report.

#include <exception>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/call.hpp"
#include "../core/options.hpp"
#include "../core/report.hpp"
#include "../observe/progress_bar.hpp"
#include "../run/batch.hpp"
#include "../run/cpus.hpp"
#include "awaited.hpp"
#include "launched.hpp"
#include "run.hpp"
#include "state.hpp"
#include "stream.hpp"

namespace taskmgr {

namespace detail {

/// Each fails to compile with one sentence if it does not hold.
template <class G>
constexpr void require_signature();
template <class Tasks>
constexpr auto require_tasks();  // deduced, hence instantiated on the spot: g++ then sees that local iterators are used
template <class Sink, class Task, class R>
constexpr void require_sink();

struct ManagerAccess;

}  // namespace detail

/// Runs `F` for each task of a list: in series, on threads, in processes or as coroutines. What a task throws becomes its
/// outcome and never ends the run.
///
///     TaskManager add{[](int x, int y) { return x + y; }, {.mode = Mode::thread}};
///     auto report = add.start({{1, 2}, {3, 4}});
///     report.success_map().at({3, 4});    // 7
///
/// `F` is called as a const object, with a `const Task&`, in the first of these ways that fits: the task whole; unpacked,
/// if it is a tuple, pair or array; a `Context&` and the task whole; a `Context&` and the task unpacked.
///
/// Thread safety: `start`, `launch` and `stream` from any number of threads, also from within tasks, of this manager too.
/// `observe` and moving: while nothing runs.
template <class F>
class TaskManager {
 public:
  /// Throws `std::invalid_argument`, naming the member and the value, for options that cannot be.
  explicit TaskManager(F function, Options options = {});

  TaskManager(TaskManager&&) noexcept = default;
  TaskManager& operator=(TaskManager&&) noexcept = default;
  /// Waits for its runs.
  ~TaskManager() = default;

  /// Runs the tasks of any input range, and returns when each has its outcome. `Task` is the range's value type, `R` what
  /// `F` returns for it, decayed (`std::monostate` for void). A range that is an rvalue and no view gives its tasks away.
  ///
  /// `sink` is called with each finished `Outcome<Task, R>&`, never two at a time, on whichever thread. What a sink, an
  /// observer or the range throws is rethrown once what was taken has finished. Complexity: O(tasks).
  template <class Tasks, class Sink = detail::NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  auto start(Tasks&& tasks, Sink&& sink = {}, std::stop_token stop = {}) const;
  template <class Tasks>
  auto start(Tasks&& tasks, std::stop_token stop) const {
    return start(std::forward<Tasks>(tasks), detail::NoSink{}, std::move(stop));
  }
  /// Of a list in braces: `F` must have one signature, whose parameters give the task type.
  template <class G = F, class Sink = detail::NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  auto start(std::initializer_list<detail::ListTask<G>> tasks, Sink&& sink = {}, std::stop_token stop = {}) const {
    detail::require_signature<G>();
    return start<const std::initializer_list<detail::ListTask<G>>&>(tasks, std::forward<Sink>(sink), std::move(stop));
  }
  template <class G = F>
  auto start(std::initializer_list<detail::ListTask<G>> tasks, std::stop_token stop) const {
    return start<G>(tasks, detail::NoSink{}, std::move(stop));
  }

  /// The same in the background: takes the tasks, then returns a `Run<Task, R>`. Where no thread can be started, the run is
  /// over when this returns.
  template <class Tasks, class Sink = detail::NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  auto launch(Tasks&& tasks, Sink&& sink = {}, std::stop_token stop = {}) const;
  template <class Tasks>
  auto launch(Tasks&& tasks, std::stop_token stop) const {
    return launch(std::forward<Tasks>(tasks), detail::NoSink{}, std::move(stop));
  }
  template <class G = F, class Sink = detail::NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  auto launch(std::initializer_list<detail::ListTask<G>> tasks, Sink&& sink = {}, std::stop_token stop = {}) const {
    detail::require_signature<G>();
    return launch<const std::initializer_list<detail::ListTask<G>>&>(tasks, std::forward<Sink>(sink), std::move(stop));
  }
  template <class G = F>
  auto launch(std::initializer_list<detail::ListTask<G>> tasks, std::stop_token stop) const {
    return launch<G>(tasks, detail::NoSink{}, std::move(stop));
  }

  /// The same for a coroutine, which goes on when the run has ended; nothing blocks its event loop. In coroutine mode the tasks
  /// run on that loop, in the other modes on the manager's workers. The tasks are taken now, the run begins when it is awaited:
  ///
  ///     auto pending = manager.start_async(urls);
  ///     auto report = co_await pending;
  ///
  /// If the coroutine is asked to stop, the run is cancelled, and once it has ended this throws `Cancelled`. What it gives, an
  /// `Async<Report<Task, R>>`, must not outlive the manager.
  template <class Tasks, class Sink = detail::NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  auto start_async(Tasks&& tasks, Sink&& sink = {}, std::stop_token stop = {}) const;
  template <class Tasks>
  auto start_async(Tasks&& tasks, std::stop_token stop) const {
    return start_async(std::forward<Tasks>(tasks), detail::NoSink{}, std::move(stop));
  }
  template <class G = F, class Sink = detail::NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  auto start_async(std::initializer_list<detail::ListTask<G>> tasks, Sink&& sink = {}, std::stop_token stop = {}) const {
    detail::require_signature<G>();
    return start_async<const std::initializer_list<detail::ListTask<G>>&>(tasks, std::forward<Sink>(sink), std::move(stop));
  }
  template <class G = F>
  auto start_async(std::initializer_list<detail::ListTask<G>> tasks, std::stop_token stop) const {
    return start_async<G>(tasks, detail::NoSink{}, std::move(stop));
  }

  /// The outcomes as they complete, an input range (`Stream<Task, R>`) that pulls the tasks lazily: the source may be
  /// endless. The source is read by the thread that walks the stream. An lvalue range is referred to, not copied.
  template <class Tasks>
  auto stream(Tasks&& tasks, StreamOptions how = {}, std::stop_token stop = {}) const;
  template <class G = F>
  auto stream(std::initializer_list<detail::ListTask<G>> tasks, StreamOptions how = {}, std::stop_token stop = {}) const {
    detail::require_signature<G>();
    return stream(std::vector<detail::ListTask<G>>(tasks), how, std::move(stop));
  }

  /// Attaches a listener to all runs from now on. Throws `UsageError` while a run lasts.
  TaskManager& observe(std::shared_ptr<Observer> observer);
  /// The same, not owned: it must outlive the manager.
  TaskManager& observe(Observer& observer) { return observe(std::shared_ptr<Observer>(std::shared_ptr<void>{}, &observer)); }

  [[nodiscard]] const Options& options() const noexcept { return state_->options; }

 private:
  friend struct detail::ManagerAccess;
  template <class Tasks>
  auto check() const;

  detail::Owner<detail::ManagerState<F>> state_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

template <class G>
constexpr void require_signature() {
  static_assert(!std::is_same_v<ListTask<G>, AnyTask>,
                "taskmgr: the function is generic, so a list in braces has no task type: pass a std::vector of the tasks");
}

template <class Tasks>
constexpr auto require_tasks() {
  static_assert(std::ranges::input_range<Tasks>,
                "taskmgr: the tasks must be an input range (a container, a view, a std::span) or a list in braces");
  if constexpr (std::ranges::input_range<Tasks>) {
    using Reference = std::conditional_t<gives_away<Tasks>, std::ranges::range_rvalue_reference_t<Tasks>,
                                         std::ranges::range_reference_t<Tasks>>;
    static_assert(std::is_constructible_v<std::ranges::range_value_t<Tasks>, Reference>,
                  "taskmgr: these tasks cannot be copied: give the range away, start(std::move(tasks))");
  }
}

/// Process mode alone needs one.
template <class T>
void require_codec(const char* what, const char* way) {
  if constexpr (!Encodable<T>) {
    throw UsageError(std::string("taskmgr: Mode::process sends ") + what + " " + way + " its workers, and taskmgr::Codec cannot send " +
                     type_name(typeid(T)) + ": specialise taskmgr::Codec for it, or use Mode::thread");
  }
}

/// Coroutine mode alone needs one.
template <class F, class Task>
void require_coroutine() {
  if constexpr (!gives_coroutine<F, Task>) {
    throw UsageError("taskmgr: Mode::coroutine runs functions that return a taskmgr::Async, and this one returns " +
                     (std::is_void_v<CallResult<F, Task>> ? "void" : type_name(typeid(ResultOf<F, Task>))) + ": make it a coroutine, or use Mode::thread");
  }
}

/// Throws `UsageError` where tasks of this type cannot be run in that mode.
template <class F, class Task>
void require_mode(Mode mode) {
  switch (mode) {
    case Mode::serial:
    case Mode::thread: return;
    case Mode::process: return require_codec<ResultOf<F, Task>>("results", "from");
    case Mode::coroutine: return require_coroutine<F, Task>();
  }
}

/// The inside of a manager, for a tree of which it is a stage.
struct ManagerAccess {
  template <class F>
  [[nodiscard]] static ManagerState<F>& state(const TaskManager<F>& manager) noexcept {
    return *manager.state_;
  }
};

template <class Sink, class Task, class R>
constexpr void require_sink() {
  static_assert(std::is_same_v<Sink, NoSink> || std::is_invocable_v<Sink&, Outcome<Task, R>&>,
                "taskmgr: a sink is called with an Outcome<Task, R>&: take it by auto& or const auto&");
}

/// The run behind a stream of a manager.
template <class F, class Task, class R, class Tasks>
class Streamed final : public AnyFlow<Task, R> {
 public:
  Streamed(ManagerState<F>& manager, Tasks&& tasks, StreamOptions how, std::stop_token stop)
      : running_(manager.workshop().runs),
        flow_(terms(manager, tasks), manager.function, manager.workshop(), std::forward<Tasks>(tasks), how),
        with_outer_(std::move(stop), job_of<&Streamed::request_stop>(*this)) {}
  ~Streamed() override { stopper_.request_stop(); }

  [[nodiscard]] Outcome<Task, R>* next() override { return flow_.next(); }

 private:
  [[nodiscard]] Crew::Terms terms(ManagerState<F>& manager, [[maybe_unused]] Tasks& tasks) {
    std::size_t total = 0;  // not known
    if constexpr (std::ranges::sized_range<Tasks>) total = static_cast<std::size_t>(std::ranges::size(tasks));
    return manager.template terms<Task>(total != 0 ? total : most_places, total, 0, stopper_.get_token(), Clock::now());
  }
  void request_stop() noexcept { stopper_.request_stop(); }

  Running running_;
  std::stop_source stopper_;
  Flow<F, Task, R, Tasks> flow_;
  OnStop with_outer_;
};

}  // namespace detail

template <class F>
TaskManager<F>::TaskManager(F function, Options options) {
  detail::validate(options);
  static_cast<void>(detail::unrecorded_error());  // made while there is memory
  state_ = detail::Owner{new detail::ManagerState<F>(std::move(function), std::move(options))};
  state_->workers = detail::worker_count(state_->options);
  if (state_->options.show_progress) observe(std::shared_ptr<Observer>(new ProgressBar));
}

template <class F>
TaskManager<F>& TaskManager<F>::observe(std::shared_ptr<Observer> observer) {
  if (observer == nullptr) throw UsageError("taskmgr: observe() of a null pointer: pass an observer");
  if (state_->workshop().runs.load() != 0) {
    throw UsageError("taskmgr: observe() while \"" + state_->options.name +
                     "\" runs: attach observers before start, or wait for the run");
  }
  if (!state_->ticker) state_->ticker = detail::Ticker::instance();
  state_->observers.push_back(std::move(observer));
  return *this;
}

template <class F>
template <class Tasks>
auto TaskManager<F>::check() const {
  using Task = std::ranges::range_value_t<Tasks>;
  detail::require_tasks<Tasks>();
  detail::require_callable<F, Task>();
  detail::require_mode<F, Task>(state_->options.mode);
}

template <class F>
template <class Tasks, class Sink>
  requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
auto TaskManager<F>::start(Tasks&& tasks, Sink&& sink, std::stop_token stop) const {
  check<Tasks>();
  using Task = std::ranges::range_value_t<Tasks>;
  using R = detail::ResultOf<F, Task>;
  using Callee = std::remove_reference_t<Sink>;
  detail::require_sink<Callee, Task, R>();

  const auto began = detail::Clock::now();
  const detail::Running running{state_->workshop().runs};
  auto store = std::shared_ptr<detail::Store<Task, R>>(new detail::Store<Task, R>);
  const std::exception_ptr source =
      store->fill(std::forward<Tasks>(tasks), state_->options.duplicates == Duplicates::share);
  detail::Batch<F, Task, R, Callee> batch{state_->terms(*store, std::move(stop), began), state_->function, *store,
                                          state_->workshop(), &sink};
  std::exception_ptr thrown;
  Report<Task, R> report = detail::carry_out(batch, std::move(store), source, thrown);
  if (thrown != nullptr) std::rethrow_exception(thrown);
  return report;
}

template <class F>
template <class Tasks, class Sink>
  requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
auto TaskManager<F>::launch(Tasks&& tasks, Sink&& sink, std::stop_token stop) const {
  check<Tasks>();
  using Task = std::ranges::range_value_t<Tasks>;
  using R = detail::ResultOf<F, Task>;
  using Callee = std::decay_t<Sink>;
  using Launched = detail::Launched<F, Task, R, Callee>;
  detail::require_sink<Callee, Task, R>();

  const auto began = detail::Clock::now();
  auto store = std::shared_ptr<detail::Store<Task, R>>(new detail::Store<Task, R>);
  std::exception_ptr source = store->fill(std::forward<Tasks>(tasks), state_->options.duplicates == Duplicates::share);
  auto run = std::make_unique<Launched>(
      *state_, std::move(store), std::move(source), std::forward<Sink>(sink), std::move(stop), began);
  if (!state_->workshop().pool.post(detail::job_of<&Launched::drive>(*run))) run->drive();
  return Run<Task, R>{std::move(run)};
}

template <class F>
template <class Tasks, class Sink>
  requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
auto TaskManager<F>::start_async(Tasks&& tasks, Sink&& sink, std::stop_token stop) const {
  check<Tasks>();
  using Task = std::ranges::range_value_t<Tasks>;
  using R = detail::ResultOf<F, Task>;
  using Callee = std::decay_t<Sink>;
  detail::require_sink<Callee, Task, R>();

  auto store = std::shared_ptr<detail::Store<Task, R>>(new detail::Store<Task, R>);
  std::exception_ptr source = store->fill(std::forward<Tasks>(tasks), state_->options.duplicates == Duplicates::share);
  return detail::awaited_run(*state_, std::move(store), std::move(source), Callee(std::forward<Sink>(sink)), std::move(stop));
}

template <class F>
template <class Tasks>
auto TaskManager<F>::stream(Tasks&& tasks, StreamOptions how, std::stop_token stop) const {
  check<Tasks>();
  using Task = std::ranges::range_value_t<Tasks>;
  if (state_->options.mode == Mode::process) detail::require_codec<Task>("the tasks of a stream", "to");
  using R = detail::ResultOf<F, Task>;
  return Stream<Task, R>{std::make_unique<detail::Streamed<F, Task, R, Tasks>>(*state_, std::forward<Tasks>(tasks), how,
                                                                                std::move(stop))};
}

}  // namespace taskmgr
