// SPDX-License-Identifier: MIT
// expect: this stage is generic, so its types cannot be compared with its neighbours'
#include <taskmgr/taskmgr.hpp>

int main() {
  taskmgr::TaskTree tree{[](int x) { return x; }};
#ifdef ALLOWED
  tree.add_stage([](int x) { return x; });
#else
  tree.add_stage([](auto x) { return x; });
#endif
}
