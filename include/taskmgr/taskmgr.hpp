// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The core in one include.

#include "core/aggregate.hpp"
#include "core/call.hpp"
#include "core/context.hpp"
#include "core/error.hpp"
#include "core/event.hpp"
#include "core/format.hpp"
#include "core/hash.hpp"
#include "core/names.hpp"
#include "core/options.hpp"
#include "core/outcome.hpp"
#include "core/report.hpp"
#include "core/retry.hpp"
#include "manager/run.hpp"
#include "manager/stream.hpp"
#include "manager/task_manager.hpp"
#include "manager/with_args.hpp"
#include "observe/chrome_trace.hpp"
#include "observe/insights.hpp"
#include "observe/log.hpp"
#include "observe/progress_bar.hpp"
#include "run/async.hpp"
#include "run/awaits.hpp"
#include "run/condition.hpp"
#include "run/event_loop.hpp"
#include "tree/report.hpp"
#include "tree/task_tree.hpp"
#include "version.hpp"
