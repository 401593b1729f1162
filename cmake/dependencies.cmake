# SPDX-License-Identifier: MIT
# What the library needs: threads and fmt. An installed fmt comes first; without one, its sources are fetched.
find_package(Threads REQUIRED GLOBAL)
if(NOT TARGET fmt::fmt)
  include(FetchContent)
  set(FMT_INSTALL ${TASKMGR_INSTALL})  # a fetched fmt is installed with taskmgr: the installed package looks for it
  FetchContent_Declare(fmt
    SYSTEM
    GIT_REPOSITORY https://github.com/fmtlib/fmt.git
    GIT_TAG 407c905e45ad75fc29bf0f9bb7c5c2fd3475976f  # 12.1.0
    FIND_PACKAGE_ARGS 9 GLOBAL)
  FetchContent_MakeAvailable(fmt)
endif()

# What the tests, examples and benchmarks can use. Each is optional: a target asks with taskmgr_have(), and the summary at
# the end of the configuration says what was left out for want of which package.
if(TASKMGR_BUILD_TESTS)
  find_package(doctest QUIET)
endif()
if(TASKMGR_BUILD_EXAMPLES)
  find_package(CLI11 QUIET)
  find_package(CURL 7.87 QUIET)
endif()
if(TASKMGR_BUILD_BENCHMARKS)
  find_package(benchmark QUIET)
  find_package(TBB QUIET)
  find_path(ASIO_INCLUDE_DIR asio.hpp)
  mark_as_advanced(ASIO_INCLUDE_DIR)
  if(ASIO_INCLUDE_DIR AND NOT TARGET taskmgr_asio)
    add_library(taskmgr_asio INTERFACE IMPORTED)
    set_target_properties(taskmgr_asio PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${ASIO_INCLUDE_DIR}")
  endif()
endif()
if(TASKMGR_BUILD_EXAMPLES OR TASKMGR_BUILD_BENCHMARKS)
  find_path(XXHASH_INCLUDE_DIR xxhash.h)
  find_library(XXHASH_LIBRARY xxhash)
  mark_as_advanced(XXHASH_INCLUDE_DIR XXHASH_LIBRARY)
  if(XXHASH_INCLUDE_DIR AND XXHASH_LIBRARY AND NOT TARGET taskmgr_xxhash)
    add_library(taskmgr_xxhash UNKNOWN IMPORTED)
    set_target_properties(taskmgr_xxhash PROPERTIES
      IMPORTED_LOCATION "${XXHASH_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${XXHASH_INCLUDE_DIR}")
  endif()
endif()

set(taskmgr_package_of_doctest::doctest "doctest (Debian: doctest-dev)")
set(taskmgr_package_of_taskmgr::asio "Asio (Debian: libasio-dev)")
set(taskmgr_package_of_CLI11::CLI11 "CLI11 (Debian: libcli11-dev)")
set(taskmgr_package_of_CURL::libcurl "libcurl 7.87 (Debian: libcurl4-openssl-dev)")
set(taskmgr_package_of_benchmark::benchmark "Google Benchmark (Debian: libbenchmark-dev)")
set(taskmgr_package_of_taskmgr_asio "Asio (Debian: libasio-dev)")
set(taskmgr_package_of_TBB::tbb "oneTBB (Debian: libtbb-dev)")
set(taskmgr_package_of_taskmgr_xxhash "XXH3 (Debian: libxxhash-dev)")

# taskmgr_have(<result> <what> <target>...): whether all targets are there; notes for the summary that <what> is built, or
# what it lacks.
function(taskmgr_have result what)
  set(lacking)
  foreach(target IN LISTS ARGN)
    if(NOT TARGET ${target})
      list(APPEND lacking "${taskmgr_package_of_${target}}")
    endif()
  endforeach()
  if(lacking)
    list(JOIN lacking ", " lacking)
    set_property(GLOBAL APPEND PROPERTY taskmgr_left_out "${what}: needs ${lacking}")
    set(${result} OFF PARENT_SCOPE)
  else()
    set_property(GLOBAL APPEND PROPERTY taskmgr_built "${what}")
    set(${result} ON PARENT_SCOPE)
  endif()
endfunction()

function(taskmgr_print_summary)
  get_property(built GLOBAL PROPERTY taskmgr_built)
  get_property(left_out GLOBAL PROPERTY taskmgr_left_out)
  list(JOIN built ", " built)
  message(STATUS "taskmgr ${PROJECT_VERSION} (${CMAKE_BUILD_TYPE}) builds: ${built}")
  foreach(line IN LISTS left_out)
    message(STATUS "  left out: ${line}")
  endforeach()
endfunction()
