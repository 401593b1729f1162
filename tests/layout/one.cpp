// SPDX-License-Identifier: MIT
#include <taskmgr/taskmgr.hpp>

#include "square.hpp"

long sum_of_squares_one();
long sum_of_squares_one() { return sum_of_squares(); }
