// SPDX-License-Identifier: MIT
#include "support/random_tree.hpp"

#include <utility>
#include <vector>

namespace support::branches {

using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::TaskManager;

void SteppedTree::add(const Step& step, Before before, taskmgr::Options options) {
  const auto grow = [&]() -> taskmgr::Node<int> {
    if (step.kind == Step::Kind::one) {
      One one = [step, before](Context& context, int x) {
        before(context, x);
        return step.one(x);
      };
      const auto as_stage = [&](auto stage) { return nodes.empty() ? tree.root(std::move(stage)) : tree.then(nodes[step.from], std::move(stage)); };
      if (options.mode == Mode::coroutine) return as_stage(TaskManager{Coroutine{std::move(one)}, std::move(options)});
      return as_stage(TaskManager{std::move(one), std::move(options)});
    }
    const taskmgr::Node<int> from = nodes[step.from];
    if (options.mode == Mode::coroutine) options.mode = Mode::serial;
    switch (step.kind) {
      case Step::Kind::many:
        return tree.split(from, TaskManager{Many{[step, before](Context& context, int x) {
                                              before(context, x);
                                              return step.many(x);
                                            }},
                                            std::move(options)});
      case Step::Kind::route: {
        const auto kinds = tree.route(from, TaskManager{Sort{[before](Context& context, int x) {
                                                          before(context, x);
                                                          return by_parity(context, x);
                                                        }},
                                                        std::move(options)});
        return tree.then(kinds.get<Even>(), of_even);
      }
      case Step::Kind::merge:
        return tree.merge(TaskManager{Join{[before](Context& context, const std::vector<int>& all) {
                                        const int merged = Step::merged(all);
                                        before(context, merged);
                                        return merged;
                                      }},
                                      std::move(options)},
                          from);
      default:
        return tree.merge(TaskManager{JoinTwo{[before](Context& context, const std::vector<int>& a, const std::vector<int>& b) {
                                        const int merged = Step::merged(a, b);
                                        before(context, merged);
                                        return merged;
                                      }},
                                      std::move(options)},
                          from, nodes[step.and_from]);
    }
  };
  nodes.push_back(grow());
  steps.push_back(step);
}

}  // namespace support::branches
