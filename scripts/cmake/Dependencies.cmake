# Everything comes from the distribution; nothing is vendored or downloaded.
find_package(PkgConfig REQUIRED)
find_package(Protobuf REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(LIBZMQ REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
set(RIDGELINE_PROTOBUF protobuf::libprotobuf-lite)
find_path(TOMLPP_INCLUDE_DIR toml++/toml.h REQUIRED)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl)  # certprobe alone
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(MHD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)

# Debian's libmbedtls-dev ships no CMake or pkg-config file before 3.6.
find_path(MBEDTLS_INCLUDE_DIR mbedtls/x509_crt.h REQUIRED)
foreach(part crypto x509)
  find_library(MBED${part}_LIBRARY mbed${part} REQUIRED)
  add_library(ridgeline_mbed${part} INTERFACE)
  target_include_directories(ridgeline_mbed${part} SYSTEM INTERFACE ${MBEDTLS_INCLUDE_DIR})
  target_link_libraries(ridgeline_mbed${part} INTERFACE ${MBED${part}_LIBRARY})
endforeach()
target_link_libraries(ridgeline_mbedx509 INTERFACE ridgeline_mbedcrypto)

# What is packaged carries these libraries in itself (RIDGELINE_STATIC): of a shared library a process maps and relocates
# far more than it uses, 3 MB of an agent's 10, and a package for another distribution finds other versions of them. The
# price: their security updates need a new build of Ridgeline. libc stays shared.
if(RIDGELINE_STATIC)
  function(ridgeline_use_archives target)
    set(archives "")
    foreach(name ${ARGN})
      find_library(ARCHIVE_${name} NAMES lib${name}.a)
      if(ARCHIVE_${name})
        list(APPEND archives ${ARCHIVE_${name}})
      endif()
    endforeach()
    list(GET ARGN 0 first)
    if(NOT ARCHIVE_${first})
      message(FATAL_ERROR "lib${first}.a is missing; install it, or configure with -DRIDGELINE_STATIC=OFF")
    endif()
    set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${archives}")
  endfunction()
  ridgeline_use_archives(PkgConfig::LIBUV uv_a)
  ridgeline_use_archives(PkgConfig::LIBZMQ zmq pgm norm protokit bsd md sodium)
  add_library(ridgeline_gssapi_absent STATIC ${CMAKE_CURRENT_LIST_DIR}/gssapi_absent.c)
  # For libzmq's archive alone: the collector's libcurl is shared and must find the real ones.
  target_compile_options(ridgeline_gssapi_absent PRIVATE -fvisibility=hidden)
  set_property(TARGET PkgConfig::LIBZMQ APPEND PROPERTY INTERFACE_LINK_LIBRARIES ridgeline_gssapi_absent)
  ridgeline_use_archives(PkgConfig::ZSTD zstd)
  ridgeline_use_archives(PkgConfig::SODIUM sodium)
  ridgeline_use_archives(ridgeline_mbedcrypto mbedcrypto)
  ridgeline_use_archives(ridgeline_mbedx509 mbedx509 mbedcrypto)
  # The target of FindProtobuf cannot be turned; its headers are the system's.
  add_library(ridgeline_protobuf_lite INTERFACE)
  ridgeline_use_archives(ridgeline_protobuf_lite protobuf-lite)
  set(RIDGELINE_PROTOBUF ridgeline_protobuf_lite)
  ridgeline_use_archives(PkgConfig::SQLITE sqlite3)
  # Sections of their own are what --gc-sections can leave out and agent/steady_code.ld can put side by side. Bound at the
  # start (-z now), functions need neither the loader nor the tables of symbols later, and their pages can be given back;
  # and the table of their addresses is read-only from then on (-z relro).
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-static-libstdc++ -Wl,--gc-sections -Wl,-z,relro,-z,now)
  if(RIDGELINE_OLD_GLIBC)
    # Of libmicrohttpd other distributions have other versions, or none.
    ridgeline_use_archives(PkgConfig::MHD microhttpd)
    add_library(ridgeline_gnutls_absent STATIC ${CMAKE_CURRENT_LIST_DIR}/gnutls_absent.c)
    set_property(TARGET PkgConfig::MHD APPEND PROPERTY INTERFACE_LINK_LIBRARIES ridgeline_gnutls_absent)
    ridgeline_use_archives(PkgConfig::ZLIB z)
    # libcurl stays the host's, with its TLS and its certificates. Debian gives its symbols a version (CURL_OPENSSL_4)
    # that no other distribution knows, so what is linked against is a library of the same names without one.
    execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${CMAKE_NM} -D --defined-only ${CURL_LINK_LIBRARIES}
      OUTPUT_VARIABLE curl_symbols COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "curl_[a-z_]+" curl_names "${curl_symbols}")
    list(REMOVE_DUPLICATES curl_names)
    set(curl_definitions "")
    foreach(name ${curl_names})
      string(APPEND curl_definitions "void ${name}(void);\nvoid ${name}(void) {}\n")
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/curl_names/names.c CONTENT "${curl_definitions}" @ONLY)
    add_library(ridgeline_curl_names SHARED ${CMAKE_BINARY_DIR}/curl_names/names.c)
    set_target_properties(ridgeline_curl_names PROPERTIES OUTPUT_NAME curl SOVERSION 4
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/curl_names)
    set_target_properties(PkgConfig::CURL PROPERTIES INTERFACE_LINK_LIBRARIES ridgeline_curl_names)
    # libbsd's archive asks for arc4random of glibc 2.36, libgcc's for _dl_find_object of 2.35: the shared libgcc_s is on
    # every host that has a libc.
    add_library(ridgeline_old_glibc STATIC ${PROJECT_SOURCE_DIR}/packaging/rpm/arc4random.c)
    set_property(TARGET PkgConfig::LIBZMQ APPEND PROPERTY INTERFACE_LINK_LIBRARIES ridgeline_old_glibc)
    set_property(TARGET PkgConfig::LIBZMQ APPEND PROPERTY INTERFACE_LINK_OPTIONS -Wl,--undefined=arc4random)
  else()
    add_link_options(-static-libgcc)
  endif()
endif()
