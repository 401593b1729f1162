#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and runs the project in consumer/ with taskmgr got in one WAY, in a folder of its own below the build folder.
# usage: SOURCE=checkout BUILD=folder VERSION=x.y.z CMAKE=cmake CXX=compiler FMT_SOURCE=folder-or-empty consume.sh WAY
set -eu
way=$1
consumer=$SOURCE/tests/package/consumer
work=$BUILD/package/$way
rm -rf "$work"
mkdir -p "$work"

build_consumer() {
  "$CMAKE" -S "$consumer" -B "$work/build" -DCMAKE_CXX_COMPILER="$CXX" -DWAY="$way" -DVERSION="$VERSION" \
    -DSOURCE="$SOURCE" -DFETCHCONTENT_SOURCE_DIR_FMT="$FMT_SOURCE" "$@"
  "$CMAKE" --build "$work/build"
  program=$work/build/consumer
}

case $way in
  find_package)
    "$CMAKE" --install "$BUILD" --prefix "$work/prefix"
    build_consumer -DCMAKE_PREFIX_PATH="$work/prefix"
    ;;
  add_subdirectory)
    build_consumer
    ;;
  fetch_content)
    build_consumer -DFETCHCONTENT_SOURCE_DIR_TASKMGR="$SOURCE"
    ;;
  fetched_fmt)
    FMT_SOURCE=${FMT_SOURCE:-$SOURCE/tests/package/fmt}
    build_consumer
    ;;
  pkg_config)
    pkg-config --exists fmt || { echo "skipped: pkg-config is missing, or knows no fmt"; exit 77; }
    [ -z "$FMT_SOURCE" ] || { echo "skipped: a fetched fmt has a pkg-config file that cannot be moved"; exit 77; }
    "$CMAKE" --install "$BUILD" --prefix "$work/first"
    mv "$work/first" "$work/moved"
    export PKG_CONFIG_PATH=$work/moved/share/pkgconfig
    [ "$(pkg-config --modversion taskmgr)" = "$VERSION" ]
    program=$work/consumer
    "$CXX" -std=c++20 $(pkg-config --cflags taskmgr) "$consumer/main.cpp" -o "$program" $(pkg-config --libs taskmgr)
    ;;
esac
[ "$("$program")" = "$VERSION" ] || { echo "the consumer does not print $VERSION"; exit 1; }
