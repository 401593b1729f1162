// SPDX-License-Identifier: MIT
#include "support/manager.hpp"

#include <taskmgr/manager/task_manager.hpp>

#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace support {

struct Manager::Either {
  std::variant<taskmgr::TaskManager<Function>, taskmgr::TaskManager<AsyncFunction>> manager;

  /// Calls `use` with the manager.
  template <class Use>
  decltype(auto) with(Use&& use) {
    return std::visit(std::forward<Use>(use), manager);
  }
  /// Calls `use` with the manager and with the tasks, an lvalue or an rvalue as they were given.
  template <class Use>
  decltype(auto) with(Tasks& tasks, Use&& use) {
    return std::visit(
        [&](auto& here, auto& given) {
          if constexpr (std::is_pointer_v<std::remove_reference_t<decltype(given)>>) return use(here, *given);
          else return use(here, std::move(given));
        },
        manager, tasks.given);
  }
};

namespace {

AsyncFunction as_coroutine(Function function) {
  return [function = std::move(function)](taskmgr::Context& context, int x) -> taskmgr::Async<int> { co_return function(context, x); };
}

}  // namespace

Manager::Manager(Function function, taskmgr::Options options) {
  if (options.mode == taskmgr::Mode::coroutine) {
    *this = Manager{as_coroutine(std::move(function)), std::move(options)};
  } else {
    either_.reset(new Either{taskmgr::TaskManager{std::move(function), std::move(options)}});
  }
}
Manager::Manager(AsyncFunction function, taskmgr::Options options)
    : either_(new Either{taskmgr::TaskManager{std::move(function), std::move(options)}}) {}
Manager::Manager(Manager&&) noexcept = default;
Manager& Manager::operator=(Manager&&) noexcept = default;
Manager::~Manager() = default;

Report Manager::start(Tasks tasks, Sink sink, std::stop_token stop) const {
  return either_->with(tasks, [&]<class Given>(auto& manager, Given&& given) {
    if (sink == nullptr) return manager.start(std::forward<Given>(given), std::move(stop));
    return manager.start(std::forward<Given>(given), sink, std::move(stop));
  });
}

taskmgr::Run<int, int> Manager::launch(Tasks tasks, Sink sink, std::stop_token stop) const {
  return either_->with(tasks, [&]<class Given>(auto& manager, Given&& given) {
    if (sink == nullptr) return manager.launch(std::forward<Given>(given), std::move(stop));
    return manager.launch(std::forward<Given>(given), std::move(sink), std::move(stop));
  });
}

taskmgr::Async<Report> Manager::start_async(Tasks tasks, Sink sink, std::stop_token stop) const {
  return either_->with(tasks, [&]<class Given>(auto& manager, Given&& given) {
    if (sink == nullptr) return manager.start_async(std::forward<Given>(given), std::move(stop));
    return manager.start_async(std::forward<Given>(given), std::move(sink), std::move(stop));
  });
}

taskmgr::Stream<int, int> Manager::stream(std::vector<int>&& tasks, taskmgr::StreamOptions how, std::stop_token stop) const {
  return either_->with([&](auto& manager) { return manager.stream(std::move(tasks), how, std::move(stop)); });
}
taskmgr::Stream<int, int> Manager::stream(const std::vector<int>& tasks, taskmgr::StreamOptions how, std::stop_token stop) const {
  return either_->with([&](auto& manager) { return manager.stream(tasks, how, std::move(stop)); });
}
taskmgr::Stream<int, int> Manager::stream(Source tasks, taskmgr::StreamOptions how, std::stop_token stop) const {
  return either_->with([&](auto& manager) { return manager.stream(std::move(tasks), how, std::move(stop)); });
}

Manager& Manager::observe(std::shared_ptr<taskmgr::Observer> observer) {
  either_->with([&](auto& manager) { manager.observe(std::move(observer)); });
  return *this;
}
Manager& Manager::observe(taskmgr::Observer& observer) {
  either_->with([&](auto& manager) { manager.observe(observer); });
  return *this;
}

const taskmgr::Options& Manager::options() const {
  return either_->with([](auto& manager) -> const taskmgr::Options& { return manager.options(); });
}

}  // namespace support
