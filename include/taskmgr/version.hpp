// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The version of the library. CMake reads it from here.

#define TASKMGR_VERSION_MAJOR 0
#define TASKMGR_VERSION_MINOR 1
#define TASKMGR_VERSION_PATCH 0

/// One number to compare in `#if`: 10000 * major + 100 * minor + patch.
#define TASKMGR_VERSION (TASKMGR_VERSION_MAJOR * 10000 + TASKMGR_VERSION_MINOR * 100 + TASKMGR_VERSION_PATCH)
