#include "kernels/ops/coverage.h"

#include "model/make_lock.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::ops;
using kernels::test::commit_of;
using kernels::test::locked_kernel;

namespace {

LockedVariant variant(const std::string& name, const std::vector<std::string>& archs) {
  Metadata metadata;
  metadata.archs = archs;
  return {.name = name, .files = {}, .metadata = metadata};
}

}  // namespace

TEST_CASE("coverage of a lock: each kernel at its locked revision, with what its metadata declares",
          "[ops]") {
  Lock lock;
  auto relu = locked_kernel("acme/relu", Requirement::of_version(1), commit_of('a'));
  relu.variants = {variant("torch210-cxx11-cu126-x86_64-linux", {"9.0"}),
                   variant("torch210-cxx11-cu128-x86_64-linux", {"9.0", "12.0"}), variant("notes.txt", {})};
  auto norm = locked_kernel("acme/norm", Requirement::of_revision("main"), commit_of('b'));
  norm.ref = "main";
  norm.variants = {{.name = "torch29-cxx11-cu130-x86_64-linux", .files = {}, .metadata = std::nullopt}};
  lock.kernels = {relu, norm, locked_kernel("acme/empty", Requirement::of_version(1), commit_of('c'))};

  auto coverage = coverage_of_lock(lock);
  REQUIRE(coverage.size() == 3);
  CHECK(coverage[0].repo_id == "acme/relu");
  REQUIRE(coverage[0].coverage.tables.size() == 1);
  const auto& table = coverage[0].coverage.tables[0];
  CHECK(table.version == 1);
  REQUIRE(table.rows.size() == 1);
  REQUIRE(table.columns.size() == 2);
  CHECK(table.cells[0][0].missing == std::vector<std::string>{"12.0"});
  CHECK(table.cells[0][1].chosen->archs == std::vector<std::string>{"9.0", "12.0"});
  const auto& other = coverage[1].coverage.tables.at(0);
  CHECK_FALSE(other.version.has_value());
  CHECK(other.name == "main");
  CHECK(other.cells[0][0].is_unknown());
  CHECK(coverage[2].coverage.tables.empty());
}
