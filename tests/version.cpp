// SPDX-License-Identifier: MIT
#include <taskmgr/version.hpp>

#include <doctest/doctest.h>

#if TASKMGR_VERSION < 100
#error "the preprocessor must be able to compare TASKMGR_VERSION: this is 0.1.0 or later"
#endif

TEST_CASE("the version is one number, with two digits each for minor and patch") {
  CHECK(TASKMGR_VERSION / 10000 == TASKMGR_VERSION_MAJOR);
  CHECK(TASKMGR_VERSION / 100 % 100 == TASKMGR_VERSION_MINOR);
  CHECK(TASKMGR_VERSION % 100 == TASKMGR_VERSION_PATCH);
}
