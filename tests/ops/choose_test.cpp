#include "kernels/cache/verified.h"
#include "kernels/ops/download.h"

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::ops;
using kernels::test::put;
using kernels::test::TempFolder;

namespace {

using Kind = VariantChoice::Kind;

std::string blob_of(const std::string& content) {
  auto hasher = Hasher::git_blob(content.size());
  hasher.update(content);
  return hasher.finish_hex();
}

/// A kernel whose variants all hold one file of their own and one that they share.
LockedKernel kernel(const char* repo, const std::vector<std::string>& variants) {
  LockedKernel out{.repo = *RepoId::parse(repo),
                   .requirement = Requirement::of_version(1),
                   .commit = *Commit::parse(std::string(40, 'a')),
                   .ref = "v1",
                   .ref_is_tag = false,
                   .asked_for = std::nullopt,
                   .hub_name = {},
                   .direct = true,
                   .trust = TrustSource::hub,
                   .variants = {}};
  for (const auto& name : variants) {
    auto entry = [&](const std::string& file, const std::string& content) {
      return FileEntry{.path = *RepoPath::parse("build/" + name + "/" + file),
                       .size = content.size(),
                       .blob = *BlobId::parse(blob_of(content))};
    };
    out.variants.push_back({.name = name,
                            .files = {entry("__init__.py", "shared"), entry("own.py", name)},
                            .metadata = std::nullopt});
  }
  return out;
}

Target target(const char* text) {
  return *parse_target(text);
}

}  // namespace

TEST_CASE("choose: each target gets its best variant, each variant is taken once", "[ops]") {
  Lock lock{
      .kernels = {kernel("acme/relu", {"torch-cuda", "torch210-cxx11-cu128-x86_64-linux", "torch-universal",
                                       "torch210-cxx11-cu130-x86_64-linux", "torch-notes.txt"})},
      .layers = {}};
  VariantChoice choice{
      .kind = Kind::best_for_targets,
      .targets = {target("torch=2.10,cuda=12.9"), target("torch=2.10,cuda=12.8"), target("backend=cpu")},
      .names = {}};
  auto chosen = choose_variants(lock, choice);
  REQUIRE(chosen.size() == 1);
  CHECK(chosen[0].kernel == &lock.kernels[0]);
  CHECK(chosen[0].variants ==
        std::vector<std::string>{"torch-universal", "torch210-cxx11-cu128-x86_64-linux"});
  CHECK(chosen[0].decisions.empty());
}

TEST_CASE("choose: the first target without a variant is named, with every reason", "[ops]") {
  Lock lock{
      .kernels = {kernel("acme/relu", {"torch-cuda", "torch-rocm"}), kernel("acme/all", {"torch-universal"})},
      .layers = {}};
  VariantChoice choice{
      .kind = Kind::best_for_targets, .targets = {target("cuda=13.0"), target("backend=cpu")}, .names = {}};
  auto chosen = choose_variants(lock, choice);
  REQUIRE(chosen.size() == 2);
  CHECK(chosen[0].variants.empty());
  CHECK(chosen[0].target == "backend=cpu");
  REQUIRE(chosen[0].decisions.size() == 2);
  for (const auto& decision : chosen[0].decisions)
    CHECK_FALSE(decision.reason.empty());
  CHECK(chosen[1].variants == std::vector<std::string>{"torch-universal"});
}

TEST_CASE("choose: a kernel without variants fits no target", "[ops]") {
  Lock lock{.kernels = {kernel("acme/relu", {})}, .layers = {}};
  auto chosen =
      choose_variants(lock, {.kind = Kind::best_for_targets, .targets = {target("cuda=13.0")}, .names = {}});
  CHECK(chosen[0].variants.empty());
  CHECK(chosen[0].target == "cuda=13.0");
}

TEST_CASE("choose: named variants, and which of them a kernel does not have", "[ops]") {
  Lock lock{.kernels = {kernel("acme/relu", {"torch-cpu", "torch-cuda"})}, .layers = {}};
  auto chosen =
      choose_variants(lock, {.kind = Kind::named, .targets = {}, .names = {"torch-cuda", "torch-xpu"}});
  CHECK(chosen[0].variants == std::vector<std::string>{"torch-cuda"});
  CHECK(chosen[0].unknown == std::vector<std::string>{"torch-xpu"});
}

TEST_CASE("choose: all means all, also names that do not parse", "[ops]") {
  Lock lock{.kernels = {kernel("acme/relu", {"torch-cpu", "torch-notes.txt", "odd"})}, .layers = {}};
  auto chosen = choose_variants(lock, {.kind = Kind::all, .targets = {}, .names = {}});
  CHECK(chosen[0].variants == std::vector<std::string>{"torch-cpu", "torch-notes.txt", "odd"});
}

TEST_CASE("plan: in an empty cache every blob is fetched once, however often it is named", "[ops]") {
  TempFolder folder;
  Lock lock{.kernels = {kernel("acme/relu", {"torch-cpu", "torch-cuda"})}, .layers = {}};
  auto plan = plan_download(cache::Layout(folder.path()),
                            choose_variants(lock, {.kind = Kind::all, .targets = {}, .names = {}}));
  REQUIRE(plan.kernels.size() == 1);
  CHECK(plan.kernels[0].files.size() == 4);
  CHECK(plan.fetch.size() == 3);
  CHECK(plan.fetch_bytes == std::string("shared"
                                        "torch-cpu"
                                        "torch-cuda")
                                .size());
  CHECK(plan.present_files == 0);
}

TEST_CASE("plan: what is there is kept, what is not known to be verified is hashed, a wrong size is fetched",
          "[ops]") {
  TempFolder folder;
  cache::Layout layout(folder / "cache", folder / "state");
  Lock lock{.kernels = {kernel("acme/relu", {"torch-cpu", "torch-cuda"})}, .layers = {}};
  const auto& repo = lock.kernels[0].repo;
  auto blob = [&](const char* content) { return *BlobId::parse(blob_of(content)); };
  put(layout.blob(repo, blob("shared")), "shared");
  put(layout.blob(repo, blob("torch-cpu")), "torch-cpu");
  put(layout.blob(repo, blob("torch-cuda")), "cut");
  auto record = cache::VerifiedRecord::load(layout, repo);
  record.note(layout, repo, blob("shared"));
  REQUIRE(record.save(layout, repo));
  auto plan = plan_download(layout, choose_variants(lock, {.kind = Kind::all, .targets = {}, .names = {}}));
  CHECK(plan.present_files == 2);
  CHECK(plan.present_bytes == 15);
  REQUIRE(plan.unchecked.size() == 1);
  CHECK(plan.unchecked[0].file.blob == blob("torch-cpu"));
  REQUIRE(plan.fetch.size() == 1);
  CHECK(plan.fetch[0].file.blob == blob("torch-cuda"));
}

TEST_CASE("plan: the same blob in two repositories is fetched for each of them", "[ops]") {
  TempFolder folder;
  Lock lock{.kernels = {kernel("acme/a", {"torch-cpu"}), kernel("acme/b", {"torch-cpu"})}, .layers = {}};
  auto plan = plan_download(cache::Layout(folder.path()),
                            choose_variants(lock, {.kind = Kind::all, .targets = {}, .names = {}}));
  CHECK(plan.fetch.size() == 4);
}
