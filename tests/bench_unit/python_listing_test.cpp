#include "kernels/bench/python_runner.h"

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::bench;

TEST_CASE("script listing: classes and methods come in the script's order, whatever their names", "[bench]") {
  const auto listing = parse_listing(
      R"([{"class":"B\u001b[31m","methods":["benchmark_z","benchmark_a"]},{"class":"A","methods":[]}])");
  REQUIRE(listing);
  REQUIRE(listing->size() == 2);
  CHECK((*listing)[0].name == "B\x1b[31m");
  CHECK((*listing)[0].methods == std::vector<std::string>{"benchmark_z", "benchmark_a"});
  CHECK((*listing)[1].methods.empty());
}

TEST_CASE("script listing: what is none is refused", "[bench]") {
  std::string many = R"([{"class":"A","methods":[)";
  for (int i = 0; i < 1001; ++i)
    many += (i == 0 ? "\"benchmark_" : ",\"benchmark_") + std::to_string(i) + "\"";
  many += "]}]";
  for (const std::string& text :
       {std::string("{"), std::string("{}"), std::string(R"([1])"), std::string(R"([{"methods":[]}])"),
        std::string(R"([{"class":"","methods":[]}])"), std::string(R"([{"class":"A","methods":["setup"]}])"),
        std::string(R"([{"class":"A\u0000","methods":[]}])"),
        R"([{"class":")" + std::string(801, 'x') + R"(","methods":[]}])", many}) {
    INFO(text.substr(0, 60));
    const auto listing = parse_listing(text);
    REQUIRE_FALSE(listing);
    CHECK(listing.error().code() == Errc::corrupt);
  }
}

TEST_CASE("benchmark scripts: files of that name and kind, sorted", "[bench]") {
  test::TempFolder folder;
  CHECK(benchmark_scripts(folder.path()).empty());
  for (const char* name : {"benchmark_b.py", "benchmark.py", "helper.py", "benchmark.txt", "my_benchmark.py"})
    test::put(folder.path() / "benchmarks" / name, "");
  std::filesystem::create_directory(folder.path() / "benchmarks" / "benchmark_folder.py");
  std::filesystem::create_symlink("nowhere", folder.path() / "benchmarks" / "benchmark_gone.py");
  const auto scripts = benchmark_scripts(folder.path());
  REQUIRE(scripts.size() == 2);
  CHECK(scripts[0].filename() == "benchmark.py");
  CHECK(scripts[1].filename() == "benchmark_b.py");
}
