#include "kernels/model/metadata.h"

#include "support/catch.h"

using namespace kernels;

TEST_CASE("metadata: a complete file says everything", "[model]") {
  auto metadata = parse_metadata(R"({
    "name": "relu", "id": "_relu_cuda_0a1b2c3", "version": 1, "license": "Apache-2.0",
    "upstream": "https://git.example/relu", "source": "git@git.example:relu", "kernels-minver": "0.17.0",
    "python-depends": ["einops"],
    "kernel-depends": [{"repo-id": "acme/x", "version": 2}, {"repo-id": "acme/y", "revision": "main"}],
    "backend": {"type": "cuda", "archs": ["9.0a", "10.0+PTX"]},
    "digest": {"algorithm": "sha512", "files": {"__init__.py": "AAAA"}},
    "provenance": {"kernel-builder": {"version": "1"}}, "future": [1, 2]
  })",
                                 "metadata.json");
  REQUIRE(metadata);
  CHECK(metadata->name == "relu");
  CHECK(metadata->id == "_relu_cuda_0a1b2c3");
  CHECK(metadata->version == 1);
  CHECK(metadata->license == "Apache-2.0");
  CHECK(metadata->upstream == "https://git.example/relu");
  CHECK(metadata->source == "git@git.example:relu");
  CHECK(metadata->kernels_minver == "0.17.0");
  CHECK(metadata->python_depends == std::vector<std::string>{"einops"});
  REQUIRE(metadata->kernel_depends.size() == 2);
  CHECK(metadata->kernel_depends[0].display() == "acme/x@2");
  CHECK(metadata->kernel_depends[1].display() == "acme/y@main");
  CHECK(metadata->backend == "cuda");
  CHECK(metadata->archs == std::vector<std::string>{"9.0a", "10.0+PTX"});
  CHECK(metadata->digest_algorithm == HashAlgorithm::sha512);
  CHECK(metadata->digest_files.at("__init__.py") == "AAAA");
  CHECK(metadata->missing.empty());
}

TEST_CASE("metadata: what a partial file lacks is listed, null counts as lacking nothing more", "[model]") {
  auto metadata = parse_metadata(R"({"version": 1})", "metadata.json");
  REQUIRE(metadata);
  CHECK(metadata->missing == std::vector<std::string>{"name", "id", "license", "python-depends", "backend"});
  CHECK(metadata->version == 1);
  CHECK(metadata->backend.empty());
  CHECK_FALSE(metadata->digest_algorithm);
  CHECK(parse_metadata("{}", "m")->missing.size() == 6);
}

TEST_CASE("metadata: malformed and hostile files are refused, with the key", "[model]") {
  struct Row {
    const char* json;
    const char* in_error;
  };
  auto row = GENERATE(values<Row>({
      {"", "not valid JSON"},
      {"[]", "should be an object, but is array"},
      {"null", "should be an object, but is null"},
      {"{", "not valid JSON"},
      {R"({"name": 1})", "`name` should be a string, but is number"},
      {R"({"version": -1})", "`version` should be a whole number"},
      {R"({"version": 1.0})", "`version` should be a whole number"},
      {R"({"version": "1"})", "`version` should be a whole number"},
      {R"({"version": 18446744073709551616})", "`version` should be a whole number"},
      {R"({"version": 1e999})", "not valid JSON"},
      {R"({"name": "a", "name": "b"})", "`name` is given twice"},
      {R"({"python-depends": "einops"})", "`python-depends` should be an array"},
      {R"({"python-depends": [1]})", "an array of strings"},
      {R"({"kernel-depends": {}})", "`kernel-depends` should be an array"},
      {R"({"kernel-depends": [{"repo-id": "a/../b", "version": 1}]})", "`a/../b` is not a repository name"},
      {R"({"kernel-depends": [{"repo-id": "a/b"}]})", "exactly one of"},
      {R"({"kernel-depends": [{"repo-id": "a/b", "version": 1, "revision": "x"}]})", "exactly one of"},
      {R"({"kernel-depends": [{"repo-id": "a/b", "revision": "../x"}]})", "is not a revision"},
      {R"({"kernel-depends": [{"repo-id": "a/b", "version": 1, "vresion": 2}]})", "unknown key `vresion`"},
      {R"({"kernel-depends": ["a/b"]})", "should be an object, but is string"},
      {R"({"backend": "cuda"})", "`backend` should be an object"},
      {R"({"backend": {}})", "`type` should be a string, but is missing"},
      {R"({"backend": {"type": "cuda", "archs": [9.0]}})", "an array of strings"},
      {R"({"digest": {"algorithm": "md5", "files": {}}})", "`md5` is not a digest algorithm"},
      {R"({"digest": {"algorithm": "sha256"}})", "`files` should be an object, but is missing"},
      {R"({"digest": {"algorithm": "sha256", "files": {"a": 1}}})", "the digest of `a` should be a string"},
      {"{\"name\": \"\xff\"}", "not valid JSON"},
  }));
  CAPTURE(row.json);
  auto metadata = parse_metadata(row.json, "metadata.json");
  REQUIRE_FALSE(metadata);
  CHECK_THAT(describe(metadata.error()), test::contains(row.in_error));
  CHECK_THAT(describe(metadata.error()), test::contains("metadata.json"));
}

TEST_CASE("metadata: an object of very many members is refused before it takes seconds", "[model]") {
  std::string text = "{";
  for (int i = 0; i < 20'001; ++i)
    text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
  auto metadata = parse_metadata(text + "}", "metadata.json");
  REQUIRE_FALSE(metadata);
  CHECK_THAT(metadata.error().text(), test::contains("20000"));
}

TEST_CASE("metadata: deep nesting is refused before it can exhaust the stack", "[model]") {
  std::string deep(100'000, '[');
  auto metadata = parse_metadata("{\"future\": " + deep, "metadata.json");
  REQUIRE_FALSE(metadata);
  CHECK_THAT(metadata.error().text(), test::contains("deeper than 64"));
}

TEST_CASE("kernel status: a redirect leads to its revision, or to main", "[model]") {
  auto plain = parse_kernel_status("kind=\"redirect\"\ndestination=\"a/b\"\n", "s");
  REQUIRE(plain);
  CHECK(plain->destination.str() == "a/b");
  CHECK(plain->revision == "main");
  auto with = parse_kernel_status("kind=\"redirect\"\ndestination=\"a/b\"\nrevision=\"v2\"\nother=1\n", "s");
  REQUIRE(with);
  CHECK(with->revision == "v2");
}

TEST_CASE("kernel status: anything that is not a good redirect is an error", "[model]") {
  struct Row {
    const char* name;
    const char* toml;
  };
  auto row = GENERATE(values<Row>({
      {"a number as revision", "kind=\"redirect\"\ndestination=\"a/b\"\nrevision=2\n"},
      {"no destination", "kind=\"redirect\"\n"},
      {"no kind", "destination=\"a/b\"\n"},
      {"another kind", "kind=\"gone\"\ndestination=\"a/b\"\n"},
      {"not TOML", "kind=redirect\n"},
      {"a list as kind", "kind=[\"redirect\"]\ndestination=\"a/b\"\n"},
      {"a hostile destination", "kind=\"redirect\"\ndestination=\"../b\"\n"},
      {"a hostile revision", "kind=\"redirect\"\ndestination=\"a/b\"\nrevision=\"../../x\"\n"},
      {"an empty revision", "kind=\"redirect\"\ndestination=\"a/b\"\nrevision=\"\"\n"},
      {"empty", ""},
  }));
  INFO(row.name);
  auto redirect = parse_kernel_status(row.toml, "kernel-status.toml");
  REQUIRE_FALSE(redirect);
  CHECK_THAT(describe(redirect.error()), test::contains("kernel-status.toml"));
  CHECK(redirect.error().code() == Errc::corrupt);
}
