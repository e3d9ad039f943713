#include "kernels/model/cuda_releases.h"

#include <algorithm>

#include "support/catch.h"

using namespace kernels;

TEST_CASE("cuda releases: everything grows with the release", "[model]") {
  auto releases = cuda_releases();
  CHECK(std::ranges::is_sorted(releases, {}, &CudaRelease::cuda));
  CHECK(std::ranges::is_sorted(releases, {}, &CudaRelease::ptx));
  CHECK(std::ranges::is_sorted(releases, [](const auto& one, const auto& other) {
    return compare_dotted(one.driver, other.driver) < 0;
  }));
}

TEST_CASE("cuda releases: versions compare by their numbers", "[model]") {
  CHECK((compare_dotted("580.65.06", "580.65.6") == 0));
  CHECK((compare_dotted("580.100", "580.65.06") > 0));
  CHECK((compare_dotted("9", "580") < 0));
  CHECK((compare_dotted("580", "580.0") == 0));
  CHECK((compare_dotted("", "") == 0));
  CHECK((compare_dotted("x", "1") < 0));
}

TEST_CASE("cuda releases: which driver is new enough, and for what", "[model]") {
  CHECK(is_new_enough("580", "580.65.06"));
  CHECK(is_new_enough("580.65", "580.65.06"));
  CHECK_FALSE(is_new_enough("580.64", "580.65.06"));
  CHECK_FALSE(is_new_enough("580.65.05", "580.65.06"));
  CHECK(driver_for_cuda(13) == "580.65.06");
  CHECK(driver_for_cuda(12) == "525.60.13");
  CHECK(driver_for_cuda(99).empty());
  CHECK(driver_for_ptx({.major = 8, .minor = 7}) == "570.26");
  CHECK(driver_for_ptx({.major = 8, .minor = 5}) == "555.42.02");
  CHECK(driver_for_ptx({.major = 99, .minor = 0}).empty());
}

TEST_CASE("cuda releases: the CUDA that a driver runs", "[model]") {
  struct Row {
    const char* driver;
    MajorMinor cuda;
  };
  auto row = GENERATE(values<Row>({{"580.65.06", {13, 0}},
                                   {"575.51.03", {12, 9}},
                                   {"570.133.07", {12, 8}},
                                   {"565.57.01", {12, 7}},
                                   {"560.35.03", {12, 6}},
                                   {"555.42.06", {12, 5}},
                                   {"550.54.15", {12, 4}},
                                   {"545.23.08", {12, 3}},
                                   {"535.183.01", {12, 2}},
                                   {"530.30.02", {12, 1}},
                                   {"525.60.13", {12, 0}},
                                   {"520.61.05", {11, 8}},
                                   {"540.4.0", {12, 2}}}));
  CAPTURE(row.driver);
  CHECK(cuda_of_driver(row.driver) == row.cuda);
  for (const char* unknown : {"700.1", "390.157", "", "x"})
    CHECK_FALSE(cuda_of_driver(unknown));
}
