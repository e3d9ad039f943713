#include <nlohmann/json.hpp>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"

#include "support/catch.h"
#include "support/hub_tree.h"

using namespace kernels;
using Json = nlohmann::json;

TEST_CASE("kernels: metadata.json names the library and digests every file of its variant", "[kernels]") {
  for (const auto& variant : test::built_variants()) {
    INFO(variant.folder);
    auto text = read_file(variant.folder / "metadata.json");
    REQUIRE(text);
    const Json metadata = Json::parse(*text);
    CHECK(metadata.at("name") == variant.kernel);
    CHECK(metadata.at("version") == 1);
    CHECK(metadata.at("license") == "Apache-2.0");
    CHECK(metadata.at("python-depends") == Json::array({"tvm-ffi"}));
    CHECK(metadata.at("id").get<std::string>() + ".so" == variant.library.filename());
    CHECK(metadata.at("backend").at("type") == (variant.cuda ? "cuda" : "cpu"));

    Json actual = Json::object();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(variant.folder)) {
      const auto path = entry.path().lexically_relative(variant.folder).generic_string();
      if (!entry.is_regular_file() || path == "metadata.json" ||
          path.find("__pycache__") != std::string::npos)
        continue;
      auto content = read_file(entry.path(), 1ULL << 30);
      REQUIRE(content);
      Hasher hasher(HashAlgorithm::sha256);
      hasher.update(*content);
      actual[path] = to_base64(hasher.finish());
    }
    CHECK(metadata.at("digest").at("algorithm") == "sha256");
    CHECK(metadata.at("digest").at("files") == actual);
    for (const char* file : {"__init__.py", "_ops.py", "layers/__init__.py", "layers.toml", "workloads.toml"})
      CHECK(actual.contains(file));
  }
}
