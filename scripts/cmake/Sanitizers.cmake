if(RIDGELINE_SANITIZE)
  add_compile_options(-fsanitize=${RIDGELINE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${RIDGELINE_SANITIZE})
  # GCC 12 takes the sanitizers' checks inside <regex> and <optional> for uninitialised reads.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-error=maybe-uninitialized>)
  if(RIDGELINE_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
if(RIDGELINE_FUZZ)
  # The libraries are instrumented for coverage; only the fuzz targets link libFuzzer's main.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
