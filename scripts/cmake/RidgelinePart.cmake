# ridgeline_part(NAME SOURCES … LINK … [PRIVATE_LINK …])
# One static library per folder, named ridgeline_NAME with the alias ridgeline::NAME. LINK is what the
# part's headers need, PRIVATE_LINK what only its sources need. The edges given here are the allowed
# dependencies of the house: agent and collector parts may link common parts, never each other.
function(ridgeline_part name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(ridgeline_${name} STATIC ${ARG_SOURCES})
  add_library(ridgeline::${name} ALIAS ridgeline_${name})
  target_include_directories(ridgeline_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(ridgeline_${name} PUBLIC ${ARG_LINK} PRIVATE ridgeline_warnings ${ARG_PRIVATE_LINK})
endfunction()

# ridgeline_unit_test(NAME SOURCES … LINK …): one Catch2 program; each test case is one ctest test.
function(ridgeline_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE ridgeline_test_main ridgeline_warnings ${ARG_LINK})
  target_compile_definitions(test_${name} PRIVATE
    RIDGELINE_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures")
  catch_discover_tests(test_${name} TEST_PREFIX "${name}: " PROPERTIES LABELS unit)
endfunction()

# ridgeline_bench(NAME SOURCES … LINK …): one Google Benchmark program.
function(ridgeline_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(bench_${name} ${ARG_SOURCES})
  target_include_directories(bench_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(bench_${name} PRIVATE RIDGELINE_RULES="${PROJECT_SOURCE_DIR}/packaging/rules")
  target_link_libraries(bench_${name} PRIVATE benchmark::benchmark ridgeline_warnings ${ARG_LINK})
endfunction()
