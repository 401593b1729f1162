# SPDX-License-Identifier: MIT
# Headers, the CMake package and the pkg-config file. All is independent of the architecture, hence below share/.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/taskmgr")
install(TARGETS taskmgr EXPORT taskmgr-targets FILE_SET HEADERS)
install(EXPORT taskmgr-targets NAMESPACE taskmgr:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/taskmgr-config.cmake.in "${PROJECT_BINARY_DIR}/taskmgr-config.cmake"
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/taskmgr-config-version.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/taskmgr-config.cmake" "${PROJECT_BINARY_DIR}/taskmgr-config-version.cmake"
  cmake/taskmgr-asio.cmake DESTINATION "${package_dir}")

# The pkg-config file finds the headers from where it lies itself, so the installed tree may be moved.
file(RELATIVE_PATH include_from_pc "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
configure_file(cmake/taskmgr.pc.in "${PROJECT_BINARY_DIR}/taskmgr.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/taskmgr.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
