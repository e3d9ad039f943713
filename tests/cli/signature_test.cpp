// Signatures as a user meets them: a publisher who signs, a Hub, the program. The services that vouch for the
// publisher have keys of their own; `--trusted-root` names them.

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "kernels/base/hash.h"

#include "support/catch.h"
#include "support/sigstore_authority.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

const char* const kVariant = "tvm-ffi01-cpu-x86_64-linux";
const char* const kProject = "[dependencies]\n\"acme/relu\" = 1\n";
const char* const kAcme = "https://github.com/acme/kernels/.github/workflows/build.yaml@refs/heads/main";

const SigstoreAuthority& authority() {
  static const SigstoreAuthority value;
  return value;
}

std::string base64_of(const std::string& content, kernels::HashAlgorithm algorithm) {
  kernels::Hasher hasher(algorithm);
  hasher.update(content);
  return kernels::to_base64(hasher.finish());
}

/// The files of a variant, signed in one way or another.
struct Build {
  std::map<std::string, std::string> files = {{"__init__.py", "# relu\n"}, {"_relu.so", cpu_library("relu")}};

  std::string metadata(const std::vector<std::string>& left_out = {},
                       kernels::HashAlgorithm algorithm = kernels::HashAlgorithm::sha256) const {
    json digests = json::object();
    for (const auto& [path, content] : files)
      if (std::ranges::find(left_out, path) == left_out.end()) digests[path] = base64_of(content, algorithm);
    bool is_long = algorithm == kernels::HashAlgorithm::sha512;
    return json{{"name", "relu"},
                {"id", "_relu_cpu_0a1b2c3"},
                {"version", 1},
                {"license", "Apache-2.0"},
                {"python-depends", json::array()},
                {"kernel-depends", json::array()},
                {"backend", {{"type", "cpu"}}},
                {"digest", {{"algorithm", is_long ? "sha512" : "sha256"}, {"files", digests}}}}
        .dump();
  }

  void sign(const std::string& text, const std::string& signed_text,
            const Signing& signing = kernels_community()) {
    files["metadata.json"] = text;
    files["metadata.json.sigstore"] = authority().sign(signed_text, signing).dump();
  }
  void sign(const Signing& signing = kernels_community()) {
    auto text = metadata();
    sign(text, text, signing);
  }
};

/// A world with a project that needs `acme/relu`, and a trusted root.
class SignedWorld : public World {
 public:
  explicit SignedWorld(const Build& build, const std::string& trust = "") {
    publish({.repo = "acme/relu", .variants = {{kVariant, build.files}}});
    project(kProject + trust);
    put(root(), authority().trusted_root().dump());
    auto locked = kernels({"lock"});
    INFO(locked.err);
    REQUIRE(locked.status == 0);
  }

  std::string root() const { return (temp / "trusted_root.json").string(); }

  Outcome download(const std::vector<std::string>& more = {}, RunOptions options = {}) {
    std::vector<std::string> arguments = {"download", "--variant", kVariant, "--trusted-root", root()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return kernels(arguments, std::move(options));
  }
  Outcome check(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"check", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1",
                                          "--trusted-root", root()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return kernels(arguments);
  }
  bool holds_kernel() const {
    auto files = files_below(cache());
    return std::ranges::any_of(files, [](const std::string& file) {
      return has(file, "/blobs/") || has(file, "/snapshots/") || has(file, "/refs/");
    });
  }
};

}  // namespace

TEST_CASE("signatures: a signed kernel is verified while it comes, and not again until something changes",
          "[cli]") {
  Build build;
  build.sign();
  SignedWorld world(build);
  auto first = world.download({"--signatures", "require", "--json"});
  INFO(first.err);
  REQUIRE(first.status == 0);
  auto one = json::parse(first.out)["signatures"][0];
  CHECK(one["outcome"] == "Success");
  CHECK(one["signer"] == "huggingface/kernels-community, build.yaml@refs/heads/main");
  CHECK(one["is_receipt"] == false);
  CHECK_FALSE(has(first.err, "warning"));
  auto again = world.download({"--signatures", "require", "--json"});
  CHECK(again.status == 0);
  CHECK(json::parse(again.out)["signatures"][0]["is_receipt"] == true);
  // Other rules: what was verified under the first ones does not count.
  auto other = world.kernels({"download", "--variant", kVariant, "--signatures", "require"});
  CHECK(other.status == 4);
  CHECK_THAT(other.err, contains("log promise"));
  // A receipt that somebody touched counts for nothing.
  auto record = world.cache() / ".kernels-v1/verified/kernels--acme--relu";
  auto text = world.read(std::filesystem::relative(record, world.folder()).string());
  put(record, text + " ");
  auto touched = world.download({"--json"});
  CHECK(json::parse(touched.out)["signatures"][0]["is_receipt"] == false);
}

TEST_CASE("attack 55: a kernel that is not signed is told, and refused where signatures are required",
          "[cli]") {
  SignedWorld world(Build{});
  auto required = world.download({"--signatures", "require"});
  CHECK(required.status == 4);
  CHECK_THAT(required.err, contains("SignatureBundleMissing"));
  CHECK_FALSE(world.holds_kernel());
  auto warned = world.download();
  CHECK(warned.status == 0);
  CHECK_THAT(warned.err, contains("not signed: `acme/relu`"));
  CHECK(world.holds_kernel());
  auto off = world.download({"--signatures", "off", "--json"});
  CHECK(json::parse(off.out)["signatures"].empty());
}

TEST_CASE("attacks 56 to 59, 64: a signature that is not good is refused by its step, and nothing stays",
          "[cli]") {
  Build plain;
  auto metadata = plain.metadata();
  struct Row {
    const char* name;
    std::function<void(Build&)> sign;
    const char* outcome;
    const char* step;
  };
  auto mallory = run_of("https://github.com/mallory/kernels/.github/workflows/build.yaml@refs/heads/main");
  auto branch = kernels_community();
  branch.identity[9] =
      "https://github.com/huggingface/kernels-community/.github/workflows/build.yaml@refs/heads/dev";
  auto issuer = kernels_community();
  issuer.identity[1] = issuer.identity[8] = "https://accounts.google.com";
  auto late = kernels_community();
  late.promise = false;
  late.timestamp = true;
  late.timestamp_delay = 3600;
  auto timeless = kernels_community();
  timeless.promise = false;
  const std::vector<Row> rows = {
      {"56: another artifact's", [&](Build& b) { b.sign(metadata, "other bytes"); },
       "SignatureVerificationFailure", "signature"},
      {"57: another log entry",
       [&](Build& b) {
         auto mixed = authority().sign(metadata);
         mixed["verificationMaterial"]["tlogEntries"] =
             authority().sign("other bytes")["verificationMaterial"]["tlogEntries"];
         b.sign(metadata, metadata);
         b.files["metadata.json.sigstore"] = mixed.dump();
       },
       "SignatureVerificationFailure", "log entry"},
      {"58: expired", [&](Build& b) { b.sign(late); }, "SignatureVerificationFailure", "certificate chain"},
      {"58: no time at all", [&](Build& b) { b.sign(timeless); }, "SignatureVerificationFailure",
       "timestamp"},
      {"59: wrong workflow", [&](Build& b) { b.sign(mallory); }, "SignatureVerificationFailure", "identity"},
      {"59: wrong ref", [&](Build& b) { b.sign(branch); }, "SignatureVerificationFailure", "identity"},
      {"59: wrong issuer", [&](Build& b) { b.sign(issuer); }, "SignatureVerificationFailure", "identity"},
      {"not a bundle",
       [&](Build& b) {
         b.sign();
         b.files["metadata.json.sigstore"] = "{}";
       },
       "SignatureBundleInvalid", ""},
      {"no digest",
       [&](Build& b) {
         auto text = json::parse(metadata);
         text.erase("digest");
         b.sign(text.dump(), text.dump());
       },
       "DigestMissing", ""},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    Build build;
    row.sign(build);
    SignedWorld world(build);
    auto required = world.download({"--signatures", "require"});
    INFO(required.err);
    CHECK(required.status == 4);
    CHECK_THAT(required.err, contains(row.outcome));
    CHECK_THAT(required.err, contains(row.step));
    CHECK_FALSE(world.holds_kernel());
    auto warned = world.download();
    CHECK(warned.status == 0);
    CHECK_THAT(warned.err, contains("warning: `build/"));
  }
}

TEST_CASE("attack 60: with another trusted root nothing is good, and the error says what may help", "[cli]") {
  Build build;
  build.sign();
  SignedWorld world(build);
  auto run = world.kernels({"download", "--variant", kVariant, "--signatures", "require"});
  CHECK(run.status == 4);
  CHECK_THAT(run.err, contains("--trusted-root"));
  CHECK_FALSE(world.holds_kernel());
  put(world.root(), "{}");
  auto broken = world.download();
  CHECK(broken.status == 2);
  CHECK_THAT(broken.err, contains("trusted_root.json"));
}

TEST_CASE("attack 61: a signed digest that omits a file is refused, whatever the policy", "[cli]") {
  for (auto algorithm : {kernels::HashAlgorithm::sha256, kernels::HashAlgorithm::sha512}) {
    Build good;
    auto right = good.metadata({}, algorithm);
    good.sign(right, right);
    SignedWorld fine(good);
    CHECK(fine.download({"--signatures", "require"}).status == 0);
    Build build;
    auto text = build.metadata({"_relu.so"}, algorithm);
    build.sign(text, text);
    SignedWorld world(build);
    for (const char* policy : {"off", "warn", "require"}) {
      auto run = world.download({"--signatures", policy});
      INFO(run.err);
      CHECK(run.status == 4);
      CHECK_THAT(run.err, contains("_relu.so"));
      CHECK_FALSE(world.holds_kernel());
    }
  }
}

TEST_CASE("attack 62: a link to a folder inside a variant is not overlooked", "[cli]") {
  Build build;
  build.sign();
  TempFolder folder;
  auto variant = folder / "build" / kVariant;
  for (const auto& [name, content] : build.files)
    put(variant / name, content);
  put(folder / "root.json", authority().trusted_root().dump());
  World world;
  auto check = [&] {
    return world.kernels({"check", folder.path().string(), "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1",
                          "--signatures", "require", "--trusted-root", (folder / "root.json").string(),
                          "--json"});
  };
  auto good = check();
  INFO(good.err << good.out);
  CHECK(good.status == 0);
  std::filesystem::create_directory_symlink("/usr/lib", variant / "extra");
  auto linked = check();
  CHECK(linked.status == 4);
  CHECK_THAT(linked.out, contains("extra"));
}

TEST_CASE("attack 64: metadata is not read before its signature holds", "[cli]") {
  Build build;
  build.sign();
  TempFolder folder;
  auto variant = folder / "build" / kVariant;
  for (const auto& [name, content] : build.files)
    put(variant / name, content);
  put(variant / "metadata.json", "{ not JSON");
  put(folder / "root.json", authority().trusted_root().dump());
  World world;
  auto run = world.kernels({"check", folder.path().string(), "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1",
                            "--trusted-root", (folder / "root.json").string(), "--json"});
  auto items = json::parse(run.out)["kernels"][0]["checks"];
  auto found = std::ranges::find_if(items, [](const json& item) { return item["check"] == "signature"; });
  REQUIRE(found != items.end());
  CHECK_THAT((*found)["text"].get<std::string>(), contains("SignatureVerificationFailure: signature"));
  auto signature = json::parse(run.out)["kernels"][0]["signature"];
  CHECK(signature["outcome"] == "SignatureVerificationFailure");
  CHECK(signature["failed_step"] == "signature");
  CHECK(signature["signature"].is_null());
}

TEST_CASE("signatures: the strictest of project, environment and flag counts", "[cli]") {
  struct Row {
    const char* project;
    const char* variable;
    const char* flag;
    int status;
  };
  const std::vector<Row> rows = {{"require", "off", "off", 4}, {"off", "require", "off", 4},
                                 {"off", "off", "require", 4}, {"off", "off", "warn", 0},
                                 {"", "require", "", 4},       {"", "", "off", 0},
                                 {"warn", "", "off", 0},       {"", "maybe", "", 2}};
  for (const auto& row : rows) {
    INFO(row.project << " " << row.variable << " " << row.flag);
    auto trust = *row.project == '\0' ? "" : std::string("[trust]\nsignatures = \"") + row.project + "\"\n";
    SignedWorld world(Build{}, trust);
    std::vector<std::string> flags;
    if (*row.flag != '\0') flags = {"--signatures", row.flag};
    CHECK(world.download(flags, {.environment = {{"KERNELS_SIGNATURES", row.variable}}}).status ==
          row.status);
  }
}

TEST_CASE("signatures: `[trust] signers` adds a workflow, and a wrong one is told", "[cli]") {
  Build build;
  build.sign(run_of(kAcme));
  SignedWorld without(build);
  CHECK(without.download({"--signatures", "require"}).status == 4);
  SignedWorld with(build, std::string("[trust]\nsigners = [\"") + kAcme + "\"]\n");
  auto run = with.download({"--signatures", "require", "--json"});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(json::parse(run.out)["signatures"][0]["signer"] == "acme/kernels, build.yaml@refs/heads/main");
  SignedWorld wrong(build, "[trust]\nsigners = [\"acme/kernels\"]\n");
  auto refused = wrong.download();
  CHECK(refused.status == 2);
  CHECK_THAT(refused.err, contains("`acme/kernels` is not a workflow"));
}

TEST_CASE("signatures: `check` shows who signed, for a lock, and for the Hub without a download", "[cli]") {
  Build build;
  build.sign();
  SignedWorld world(build);
  auto hub = world.kernels({"check", "acme/relu", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1",
                            "--trusted-root", world.root(), "--explain"});
  INFO(hub.err << hub.out);
  CHECK(hub.status == 0);
  CHECK_THAT(hub.out, contains("signed by huggingface/kernels-community, build.yaml@refs/heads/main"));
  CHECK_FALSE(world.holds_kernel());
  REQUIRE(world.download().status == 0);
  auto run = world.check({"--signatures", "require", "--explain"});
  INFO(run.err << run.out);
  CHECK(run.status == 0);
  CHECK_THAT(run.out, contains("rekor.test as 1003"));
  auto report = json::parse(world.check({"--json"}).out)["kernels"][0]["signature"];
  CHECK(report["outcome"] == "Success");
  CHECK(report["failed_step"].is_null());
  CHECK(report["signature"]["log_index"] == 1003);
  CHECK(json::parse(world.check({"--signatures", "off", "--json"}).out)["kernels"][0]["signature"].is_null());
  auto other =
      world.kernels({"check", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1", "--signatures", "require"});
  CHECK(other.status == 4);
  CHECK_THAT(other.out, contains("wrong"));
  auto warned = world.kernels({"check", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1"});
  CHECK(warned.status == 0);
}

TEST_CASE("verify-signature: a table of variants, straight from the Hub and offline from the cache",
          "[cli]") {
  Build build;
  build.sign();
  Build bare;
  SignedWorld world(build);
  world.publish({.repo = "acme/mixed",
                 .variants = {{kVariant, build.files}, {"tvm-ffi01-cpu-aarch64-linux", bare.files}}});
  auto verify = [&](std::vector<std::string> more, const char* repo = "acme/mixed") {
    std::vector<std::string> arguments = {"verify-signature", repo, "1", "--trusted-root", world.root()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world.kernels(arguments);
  };
  auto all = verify({"--all-variants", "--json"});
  INFO(all.err << all.out);
  CHECK(all.status == 4);
  auto report = json::parse(all.out);
  CHECK(report["schema"] == "kernels.signatures/1");
  CHECK(report["variants"].size() == 2);
  auto signed_only = verify({"--all-variants", "--filter-unsigned"});
  CHECK(signed_only.status == 0);
  CHECK_THAT(signed_only.out, contains("Success"));
  CHECK_THAT(signed_only.err, contains("trusted root: "));
  auto target = verify({"--target", "os=linux,cpu=x86_64,tvm-ffi=0.1"});
  CHECK(target.status == 0);
  CHECK(verify({"--target", "os=linux,cpu=aarch64,tvm-ffi=0.1"}).status == 4);
  CHECK(verify({"--target", "os=darwin,cpu=aarch64,tvm-ffi=0.1"}).status == 1);
  CHECK_FALSE(world.holds_kernel());
  REQUIRE(world.download().status == 0);
  auto offline = verify({"--all-variants", "--offline"}, "acme/relu");
  INFO(offline.err);
  CHECK(offline.status == 0);
}

TEST_CASE("verify-blob: a release of somebody else's, with the embedded trusted root and no network",
          "[cli]") {
  World world;
  const std::string folder = KERNELS_TEST_SIGSTORE "/production/";
  const std::string identity =
      "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2";
  const std::string issuer = "https://token.actions.githubusercontent.com";
  auto verify = [&](const std::string& file, const std::string& who, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"verify-blob",
                                          file,
                                          "--bundle",
                                          folder + "bundle_v3_github.whl.sigstore",
                                          "--certificate-identity",
                                          who,
                                          "--certificate-oidc-issuer",
                                          issuer};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world.kernels(arguments, {.environment = {{"HF_ENDPOINT", "http://127.0.0.1:1"}}});
  };
  auto wheel = folder + "bundle_v3_github.whl";
  auto good = verify(wheel, identity);
  INFO(good.err);
  CHECK(good.status == 0);
  CHECK_THAT(
      good.out,
      contains("signed by trailofbits/rfc8785.py, release.yml@refs/tags/v0.1.2 at 2024-03-19T22:41:16Z"));
  CHECK_THAT(good.err, contains("trusted root: embedded, of 2026-08-21, SHA-256 6494e21e"));
  auto other = verify(wheel, identity + "x");
  CHECK(other.status == 4);
  CHECK_THAT(other.err, contains("identity"));
  auto changed = verify(folder + "bundle_v3_github.whl.sigstore", identity, {"--json"});
  CHECK(changed.status == 4);
  CHECK(json::parse(changed.out)["failed_step"] == "signature");
  CHECK(verify("/nowhere", identity).status != 0);
}

TEST_CASE("signatures: `import` verifies a bundle's kernels, and a folder's, with the same rules", "[cli]") {
  Build build;
  build.sign();
  SignedWorld world(build);
  auto file = (world.temp / "kernels.tar.zst").string();
  REQUIRE(world.download({"--bundle", file}).status == 0);
  auto import = [&](const std::string& path, std::vector<std::string> more, const char* cache) {
    std::vector<std::string> arguments = {"import", path, "--trusted-root", world.root()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world.kernels(arguments, {.environment = {{"HF_HUB_CACHE", (world.temp / cache).string()},
                                                     {"HF_ENDPOINT", "http://127.0.0.1:1"}}});
  };
  auto taken = import(file, {"--signatures", "require", "--json"}, "second");
  INFO(taken.err);
  REQUIRE(taken.status == 0);
  CHECK_FALSE(has(taken.err, "warning"));
  // What the import verified, a check need not verify again; and the root in the bundle vouches for nothing.
  auto refused = world.kernels({"import", file, "--signatures", "require"},
                               {.environment = {{"HF_HUB_CACHE", (world.temp / "third").string()}}});
  CHECK(refused.status == 4);
  CHECK_THAT(refused.err, contains("log promise"));
  CHECK(World::files_below(world.temp / "third").empty());

  TempFolder folder;
  for (const auto& [name, content] : build.files)
    put(folder / "build" / kVariant / name, content);
  std::vector<std::string> named = {"--repo-id", "acme/other", "--signatures", "require"};
  CHECK(import(folder.path().string(), named, "fourth").status == 0);
  put(folder / "build" / kVariant / "_relu.so", "other");
  auto changed = import(folder.path().string(), named, "fifth");
  CHECK(changed.status == 4);
  CHECK_THAT(changed.err, contains("DigestVerificationFailure"));
  CHECK(World::files_below(world.temp / "fifth").empty());
}
