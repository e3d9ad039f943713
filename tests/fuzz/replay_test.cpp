// What the fuzzers know, as a test of every build: each file of the corpus goes through each target, whole
// and cut short. A broken promise or a memory error ends the process.

#include <filesystem>

#include "kernels/base/file.h"

#include "support/catch.h"
#include "targets.h"

using namespace kernels;
namespace fs = std::filesystem;

TEST_CASE("fuzz: every target has seeds, every folder of seeds has a target", "[fuzz]") {
  std::vector<std::string> folders;
  for (const auto& entry : fs::directory_iterator(KERNELS_TEST_CORPUS))
    folders.push_back(entry.path().filename().string());
  for (const auto& target : fuzz::targets()) {
    CAPTURE(target.name);
    CHECK(std::ranges::count(folders, target.name) == 1);
  }
  CHECK(folders.size() == fuzz::targets().size());
}

TEST_CASE("fuzz: the corpus passes through every target, whole and cut short", "[fuzz]") {
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(KERNELS_TEST_CORPUS)) {
    if (!entry.is_regular_file()) continue;
    auto content = read_file(entry.path());
    REQUIRE(content);
    ++files;
    std::string_view bytes = *content;
    for (const auto& target : fuzz::targets()) {
      INFO(target.name << " on " << entry.path());
      target.run(bytes);
      // Pieces of odd length, so that cuts fall inside words and numbers.
      for (std::size_t cut = 1; cut < bytes.size(); cut += 1 + bytes.size() / 37)
        target.run(bytes.substr(0, cut));
      target.run(bytes.substr(bytes.size() / 2));
    }
  }
  CHECK(files >= 2 * fuzz::targets().size());
}
