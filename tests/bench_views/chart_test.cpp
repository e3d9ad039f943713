#include "chart.h"

#include <cmath>

#include "support/catch.h"

using namespace kernels::app;
using Approx = kernels::test::Approx;

TEST_CASE("chart: a linear axis begins at 0 and ends at a round number", "[bench]") {
  const auto axis = Axis::linear(3, 97, 100, 200);
  CHECK(axis.ticks() == std::vector<double>{0, 20, 40, 60, 80, 100});
  CHECK(axis.at(0) == Approx(100));
  CHECK(axis.at(50) == Approx(150));
  CHECK(axis.at(100) == Approx(200));
  CHECK(axis.at(1e9) == Approx(200));
  CHECK(Axis::linear(0, 0, 0, 1).ticks().size() >= 2);
}

TEST_CASE("chart: a logarithmic axis has every decade, and steps between when there are few", "[bench]") {
  CHECK(Axis::logarithmic(3, 70, 0, 1).ticks() == std::vector<double>{2, 5, 10, 20, 50, 100});
  CHECK(Axis::logarithmic(100, 100, 0, 1).ticks() == std::vector<double>{100, 200});
  CHECK(Axis::logarithmic(1, 1e6, 0, 6).ticks().size() == 7);
  const auto axis = Axis::logarithmic(1, 1e4, 400, 0);
  CHECK(axis.at(100) == Approx(200));
  CHECK(axis.at(0) == Approx(400));
  CHECK(axis.at(1e9) == Approx(0));
}

TEST_CASE("chart: 0 is a step of an axis that begins below it", "[bench]") {
  CHECK(Axis::linear(-3.2, 3.2, 0, 1).ticks() == std::vector<double>{-4, -2, 0, 2, 4});
  CHECK(Axis::linear(-1, 0, 0, 1).ticks().back() == Approx(0));
}

TEST_CASE("chart: an axis for any two numbers has few ticks", "[bench]") {
  const double numbers[] = {0, -0.0, 1, -1, 1e-300, 1e300, -1e300, HUGE_VAL, -HUGE_VAL, std::nan("")};
  for (double low : numbers)
    for (double high : numbers) {
      CAPTURE(low, high);
      CHECK(Axis::linear(low, high, 0, 1).ticks().size() <= 20);
      CHECK(Axis::logarithmic(low, high, 0, 1).ticks().size() <= 40);
      CHECK(std::isfinite(Axis::linear(low, high, 0, 1).at(5)));
      CHECK(std::isfinite(Axis::logarithmic(low, high, 0, 1).at(5)));
    }
}

TEST_CASE("chart: texts are escaped and numbers that are none do not break the picture", "[bench]") {
  Picture picture(10, 10, "a <b>");
  picture.text({1, 2}, "x & \"y\"", Anchor::end);
  picture.dot({0.0 / 1, 1e300}, "dot", "<script>");
  const auto svg = picture.str();
  CHECK(svg.find("<b>") == std::string::npos);
  CHECK(svg.find("<script>") == std::string::npos);
  CHECK(svg.find("x &#38; ") != std::string::npos);
}
