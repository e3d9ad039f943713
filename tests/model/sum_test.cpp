#include <random>

#include "kernels/model/lock.h"

#include "make_lock.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::test;
using kernels::test::contains;

namespace {

/// Locks with everything that a lock can hold, drawn at random.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  Lock lock() {
    Lock out;
    for (auto count = below(4); count > 0; --count)
      out.kernels.push_back(kernel());
    for (auto count = below(3); count > 0; --count)
      out.layers.push_back(layer());
    return out;
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool maybe() { return below(2) == 0; }
  template <class T, std::size_t N>
  const T& one_of(const std::array<T, N>& items) {
    return items[below(N)];
  }
  std::string hex(std::size_t digits) {
    std::string out;
    for (std::size_t i = 0; i < digits; ++i)
      out += "0123456789abcdef"[below(16)];
    return out;
  }
  RepoId repo() { return *RepoId::parse("acme/k" + std::to_string(++repositories_)); }
  Commit commit() { return *Commit::parse(hex(maybe() ? 40 : 64)); }
  Requirement requirement() {
    static const std::array<Requirement, 5> kinds = {
        Requirement::of_version(0), Requirement::of_version(~std::uint64_t{0}),
        Requirement::of_revision("refs/pr/1"),
        Requirement::of_specifier(*SpecifierSet::parse(">=0.0.3, <0.1")),
        Requirement::of_specifier(*SpecifierSet::parse(""))};
    return one_of(kinds);
  }
  std::string words() {
    static const std::array<std::string, 6> kinds = {
        "", "a", "\"\\/\b\n\t", "é…", std::string("\0x", 2), "</script>"};
    return one_of(kinds);
  }
  Metadata metadata() {
    Metadata out;
    out.name = words();
    out.id = words();
    out.version = below(100);
    out.license = words();
    out.backend = "cuda";
    if (maybe()) out.archs = {"9.0a", words()};
    if (maybe()) out.python_depends = {words()};
    if (maybe()) out.kernels_minver = words();
    if (maybe()) out.kernel_depends.push_back({.repo = repo(), .version = below(9)});
    if (maybe()) out.kernel_depends.push_back({.repo = repo(), .version = std::string("main")});
    if (maybe()) out.digest_algorithm = maybe() ? HashAlgorithm::sha512 : HashAlgorithm::sha256;
    if (maybe()) out.missing = {"id"};
    return out;
  }
  LockedVariant variant(std::size_t index) {
    static const std::array<std::string, 3> names = {"torch-cpu", "torch-é \"x\"", "torch-notes.txt"};
    LockedVariant out;
    out.name = names[index];
    if (maybe()) out.metadata = metadata();
    // In random order, and no path twice.
    for (auto count = below(4); count > 0; --count)
      out.files.push_back(file_entry("build/" + out.name + "/f" + hex(4) + std::to_string(count),
                                     hex(maybe() ? 40 : 64), below(kMaxFileSize + 1)));
    return out;
  }
  LockedKernel kernel() {
    auto out = locked_kernel(repo().str(), requirement(), commit());
    out.ref = maybe() ? "v1" : out.commit.str();
    out.ref_is_tag = maybe();
    if (maybe()) out.asked_for = repo();
    if (maybe()) out.hub_name = "new/name";
    out.direct = maybe();
    out.trust = one_of(std::array{TrustSource::hub, TrustSource::project, TrustSource::dependency});
    for (std::size_t index = below(4); index < 3; ++index)
      out.variants.push_back(variant(index));
    return out;
  }
  LockedLayer layer() {
    return {.layer = words(),
            .device = static_cast<DeviceType>(below(device_names().size())),
            .mode = *Mode::parse(maybe() ? "fallback" : "training|torch-compile"),
            .capabilities = {.min = static_cast<std::uint32_t>(below(75)), .max = 75},
            .repo = repo(),
            .commit = commit(),
            .kernel_layer = words(),
            .facts = maybe() ? std::optional(facts()) : std::nullopt};
  }
  LayerFacts facts() {
    LayerFacts out;
    if (maybe()) out.has_backward = maybe();
    if (maybe()) out.can_torch_compile = maybe();
    if (maybe())
      out.forward =
          maybe() ? std::vector<std::string>{"self", words(), "**more"} : std::vector<std::string>{};
    return out;
  }
  std::mt19937_64 random_;
  int repositories_ = 0;
};

std::string sample() {
  Lock lock;
  lock.kernels = {locked_kernel("acme/relu", Requirement::of_version(1), commit_of('a'))};
  LockedVariant variant;
  variant.name = "torch-cpu";
  variant.files = {file_entry("build/torch-cpu/__init__.py", std::string(40, '1'), 21)};
  lock.kernels[0].variants = {variant};
  lock.layers = {{.layer = "Silu",
                  .device = DeviceType::cuda,
                  .mode = Mode::inference,
                  .capabilities = {.min = 75, .max = 90},
                  .repo = lock.kernels[0].repo,
                  .commit = lock.kernels[0].commit,
                  .kernel_layer = "Silu",
                  .facts = LayerFacts{.has_backward = false,
                                      .can_torch_compile = std::nullopt,
                                      .forward = std::vector<std::string>{"self", "x"}}}};
  return render_sum(lock, "the lock");
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("sum: random locks survive writing and reading", "[model]") {
  Generator generator(seed());
  for (int round = 0; round < 300; ++round) {
    auto lock = generator.lock();
    auto text = render_sum(lock, "the lock");
    CAPTURE(round, text);
    auto back = parse_sum(text, "kernels.sum");
    INFO((back ? "" : describe(back.error())));
    REQUIRE(back);
    CHECK(back->lock_sha256 == sha256_hex("the lock"));
    CHECK(render_sum(back->lock, "the lock") == text);
    CHECK(diff_locks(lock, back->lock).empty());
    CHECK(diff_locks(back->lock, lock).empty());
    CHECK(back->lock.layers == lock.layers);
  }
}

TEST_CASE("sum: one file a line, so that a change of one file changes one line", "[model]") {
  CHECK(sample() ==
        "{\n  \"schema\": \"kernels.sum/1\",\n  \"lock_sha256\": \"" + sha256_hex("the lock") +
            "\",\n  \"kernels\": [\n    {\n      \"repo_id\": \"acme/relu\",\n      \"requested\": "
            "{\"version\":1},\n"
            "      \"asked_for\": null,\n      \"hub_name\": null,\n      \"commit\": \"" +
            std::string(40, 'a') +
            "\",\n      \"ref\": \"v1\",\n      \"direct\": true,\n"
            "      \"publisher\": {\"name\":\"acme\",\"trusted_by\":\"hub\"},\n      \"variants\": [\n       "
            " {\n"
            "          \"name\": \"torch-cpu\",\n          \"metadata\": null,\n          \"files\": [\n"
            "            {\"path\":\"build/torch-cpu/__init__.py\",\"size\":21,\"git_sha1\":\"" +
            std::string(40, '1') +
            "\"}\n          ]\n        }\n      ]\n    }\n  ],\n  \"layers\": [\n"
            "    {\"layer\":\"Silu\",\"device\":\"cuda\",\"mode\":\"inference\",\"min_capability\":75,"
            "\"max_capability\":90,\"repo_id\":\"acme/relu\",\"commit\":\"" +
            std::string(40, 'a') +
            "\",\"kernel_layer\":\"Silu\",\"has_backward\":false,"
            "\"can_torch_compile\":null,\"forward\":[\"self\",\"x\"]}\n  ]\n}\n");
}

TEST_CASE("sum: a file of a program that did not read layer sources has no facts, and keeps its bytes",
          "[model]") {
  auto older = replaced(
      sample(), ",\"has_backward\":false,\"can_torch_compile\":null,\"forward\":[\"self\",\"x\"]", "");
  auto sum = parse_sum(older, "kernels.sum");
  REQUIRE(sum);
  CHECK_FALSE(sum->lock.layers[0].facts);
  CHECK(render_sum(sum->lock, "the lock") == older);
  auto newer = parse_sum(sample(), "kernels.sum");
  REQUIRE(newer);
  CHECK(newer->lock.layers[0].facts);
  CHECK(diff_locks(sum->lock, newer->lock).empty());
}

TEST_CASE("sum: a newer schema asks for a newer program", "[model]") {
  auto sum = parse_sum(replaced(sample(), "kernels.sum/1", "kernels.sum/2"), "kernels.sum");
  REQUIRE_FALSE(sum);
  CHECK(sum.error().code() == Errc::unsupported);
  CHECK_THAT(sum.error().hint(), contains("update `kernels`"));
}

TEST_CASE("sum: broken and hostile files are refused", "[model]") {
  struct Row {
    const char* name;
    const char* from;
    const char* to;
    Errc code;
  };
  auto row = GENERATE(values<Row>({
      {"cut off", "\n}\n", "", Errc::corrupt},
      {"unknown key at the top", "\"schema\"", "\"note\": 1, \"schema\"", Errc::corrupt},
      {"unknown key in a kernel", "\"direct\"", "\"indirect\"", Errc::corrupt},
      {"unknown key in a file", "\"size\":21", "\"size\":21,\"mode\":1", Errc::corrupt},
      {"a bad repository", "acme/relu", "../relu", Errc::corrupt},
      {"a bad commit", "\"aaaa", "\"AAAA", Errc::corrupt},
      {"no requirement", "{\"version\":1}", "{}", Errc::corrupt},
      {"two requirements", "{\"version\":1}", "{\"version\":1,\"revision\":\"x\"}", Errc::corrupt},
      {"a bad specifier", "{\"version\":1}", "{\"specifier\":\"=>1\"}", Errc::corrupt},
      {"an unknown source of trust", "\"trusted_by\":\"hub\"", "\"trusted_by\":\"me\"", Errc::corrupt},
      {"a path that climbs", "build/torch-cpu/__init__", "build/torch-cpu/../x", Errc::integrity},
      {"a path in another variant", "build/torch-cpu/__init__", "build/torch-cpux/__init__", Errc::integrity},
      {"a variant that climbs", "\"name\": \"torch-cpu\"", "\"name\": \"..\"", Errc::integrity},
      {"a variant with a slash", "\"name\": \"torch-cpu\"", "\"name\": \"a/b\"", Errc::integrity},
      {"a short hash", "\"git_sha1\":\"1", "\"git_sha1\":\"", Errc::integrity},
      {"a hash of another kind", "git_sha1", "sha256", Errc::integrity},
      {"a size over the limit", "\"size\":21", "\"size\":50000000001", Errc::integrity},
      {"a negative size", "\"size\":21", "\"size\":-1", Errc::corrupt},
      {"a hostile ref", "\"ref\": \"v1\"", "\"ref\": \"../../v1\"", Errc::corrupt},
      {"an empty range", "\"min_capability\":75", "\"min_capability\":91", Errc::corrupt},
      {"a huge capability", "\"max_capability\":90", "\"max_capability\":4294967296", Errc::corrupt},
      {"an unknown device", "\"device\":\"cuda\"", "\"device\":\"gpu\"", Errc::corrupt},
      {"an unknown mode", "\"mode\":\"inference\"", "\"mode\":\"torch-compile\"", Errc::corrupt},
      {"a flag of another type", "\"has_backward\":false", "\"has_backward\":0", Errc::corrupt},
      {"parameters of another type", "[\"self\",\"x\"]", "[1]", Errc::corrupt},
      {"metadata of another type", "\"metadata\": null", "\"metadata\": []", Errc::corrupt},
  }));
  INFO(row.name);
  auto sum = parse_sum(replaced(sample(), row.from, row.to), "kernels.sum");
  REQUIRE_FALSE(sum);
  CHECK(sum.error().code() == row.code);
  CHECK_FALSE(sum.error().text().empty());
}
