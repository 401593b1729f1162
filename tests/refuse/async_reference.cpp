// SPDX-License-Identifier: MIT
// expect: an Async gives a value or void: for a reference, let it give a pointer or a std::reference_wrapper
#include <taskmgr/run/async.hpp>

#ifdef ALLOWED
taskmgr::Async<int*> largest(int& x) { co_return &x; }
#else
taskmgr::Async<int&> largest(int& x) { co_return x; }
#endif

int main() {
  int x = 1;
  const auto pending = largest(x);
}
