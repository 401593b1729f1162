// SPDX-License-Identifier: MIT
// Two translation units that include all of taskmgr stand in one program and agree.
#include <cstdio>

long sum_of_squares_one();
long sum_of_squares_two();

int main() {
  const long one = sum_of_squares_one();
  const long two = sum_of_squares_two();
  if (one == 30 && two == 30) return 0;
  std::printf("the sums are %ld and %ld, not 30\n", one, two);
  return 1;
}
