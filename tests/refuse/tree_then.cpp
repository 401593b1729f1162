// SPDX-License-Identifier: MIT
// expect: a stage of this tree cannot be called with what the stage before it returns
#include <taskmgr/taskmgr.hpp>

#include <string>

int main() {
  taskmgr::TaskTree tree{[](int x) { return x + 1; }};
#ifdef ALLOWED
  const auto longer = std::move(tree).then([](int x) { return x; });
#else
  const auto longer = std::move(tree).then([](const std::string& x) { return x; });
#endif
}
