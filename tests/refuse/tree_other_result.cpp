// SPDX-License-Identifier: MIT
// expect: the last stage of this tree returns another type than TaskTree<In, Out> names
#include <taskmgr/taskmgr.hpp>

int main() {
#ifdef ALLOWED
  const taskmgr::TaskTree<int, int> tree{[](auto x) { return x; }};
#else
  const taskmgr::TaskTree<int, long> tree{[](auto x) { return x; }};
#endif
}
