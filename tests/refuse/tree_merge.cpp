// SPDX-License-Identifier: MIT
// expect: what merge() is given cannot be called with a std::vector of results for each of these nodes
#include <taskmgr/taskmgr.hpp>

#include <vector>

int main() {
  taskmgr::TaskTree<int> tree;
  const auto root = tree.root([](int x) { return x; });
#ifdef ALLOWED
  tree.merge([](const std::vector<int>& all) { return all.size(); }, root);
#else
  tree.merge([](int x) { return x; }, root);
#endif
}
