# For MicroPython's CMake: -DUSER_C_MODULES=<this file>
add_library(usermod_thumbnet INTERFACE)
target_sources(usermod_thumbnet INTERFACE
    $${CMAKE_CURRENT_LIST_DIR}/modthumbnet.c
    $${CMAKE_CURRENT_LIST_DIR}/../$name.c)
target_include_directories(usermod_thumbnet INTERFACE $${CMAKE_CURRENT_LIST_DIR}/..)
target_link_libraries(usermod INTERFACE usermod_thumbnet)
