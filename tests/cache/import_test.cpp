#include "kernels/cache/import.h"

#include <algorithm>

#include <sys/stat.h>
#include <unistd.h>

#include "support/catch.h"
#include "support/temp_folder.h"

namespace fs = std::filesystem;
using namespace kernels;
using namespace kernels::cache;
using kernels::test::put;
using kernels::test::TempFolder;

namespace {
const RepoId kRepo = *RepoId::parse("acme/relu");
const std::string kVariant = "build/torch-cpu/";

/// The files that were committed with git in the test of git objects, and one more of each kind.
void put_sources(const fs::path& folder) {
  put(folder / "README.md", "z\n");
  put(folder / kVariant / "__init__.py", "from . import layers\n");
  put(folder / kVariant / "metadata.json", "{\"version\":1}\n");
  put(folder / kVariant / "sub-x.txt", "dash\n");
  put(folder / kVariant / "sub.txt", "dot\n");
  put(folder / kVariant / "sub/data.bin", "LFS payload\n");
}

ImportRequest request(const fs::path& folder) {
  return {.folder = folder, .repo = kRepo, .durable = Durable::no};
}

/// Every path below a folder, to see that nothing was left or changed.
std::vector<std::string> everything_below(const fs::path& folder) {
  std::vector<std::string> out;
  if (!fs::exists(folder)) return out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    out.push_back(entry.path().lexically_relative(folder).string());
  std::ranges::sort(out);
  return out;
}
}  // namespace

TEST_CASE("import: the snapshot is the commit that git would make", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  put(temp / "src" / kVariant / "__pycache__/x.pyc", "bytecode");
  put(temp / "src/notes.txt", "not taken");
  Layout layout(temp / "hub");
  auto report = import_folder(layout, request(temp / "src"));
  REQUIRE(report);
  CHECK(report->commit.str() == "06d65b1a1487c6ba6f63b08605a2b9be13462e98");
  CHECK(report->refs == std::vector<std::string>{"v1", "main"});
  CHECK(report->variants == std::vector<std::string>{"torch-cpu"});
  CHECK(report->files == 6);
  CHECK(report->written_files == 6);
  CHECK(report->bytes == 2 + 21 + 14 + 5 + 4 + 12);
  REQUIRE(report->skipped.size() == 1);
  CHECK(report->skipped[0].path.ends_with("notes.txt"));

  auto snapshot = layout.snapshot(kRepo, report->commit);
  CHECK(fs::read_symlink(snapshot / kVariant / "sub/data.bin") ==
        "../../../../../blobs/1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a");
  CHECK(read_file(snapshot / kVariant / "__init__.py") == "from . import layers\n");
  CHECK(read_file(layout.ref(kRepo, "v1")) == report->commit.str());
  CHECK(read_file(layout.ref(kRepo, "main")) == report->commit.str());
  CHECK_FALSE(fs::exists(layout.repository(kRepo) / "trees"));
  auto files = list_snapshot_files(layout, kRepo, report->commit);
  REQUIRE(files);
  CHECK(files->size() == 6);
}

TEST_CASE("import: the same content again changes nothing", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  Layout layout(temp / "hub");
  auto first = import_folder(layout, request(temp / "src"));
  auto before = everything_below(temp / "hub");
  auto second = import_folder(layout, request(temp / "src"));
  REQUIRE((first && second));
  CHECK(first->commit == second->commit);
  CHECK(second->written_files == 0);
  CHECK(everything_below(temp / "hub") == before);
}

TEST_CASE("import: changed content makes a new commit and moves the refs", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  Layout layout(temp / "hub");
  auto first = import_folder(layout, request(temp / "src"));
  put(temp / "src" / kVariant / "sub.txt", "other\n");
  auto second = import_folder(layout, request(temp / "src"));
  REQUIRE((first && second));
  CHECK(first->commit != second->commit);
  CHECK(second->written_files == 1);
  CHECK(read_ref(layout, kRepo, "v1") == second->commit);
  CHECK(list_snapshots(layout, kRepo).size() == 2);
}

TEST_CASE("import: `main` stays with the highest version", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  Layout layout(temp / "hub");
  auto two = request(temp / "src");
  two.version = 2;
  auto newer = import_folder(layout, two);
  put(temp / "src" / kVariant / "sub.txt", "older\n");
  auto older = import_folder(layout, request(temp / "src"));
  REQUIRE((newer && older));
  CHECK(older->refs == std::vector<std::string>{"v1"});
  CHECK(read_ref(layout, kRepo, "main") == newer->commit);
}

TEST_CASE("import: a damaged blob is replaced, a missing link made again", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  Layout layout(temp / "hub");
  auto first = import_folder(layout, request(temp / "src"));
  REQUIRE(first);
  put(layout.blobs(kRepo) / "a2373c722dedbf05f6669eba1ea044484213d03d", "rot!");
  fs::remove(layout.snapshot(kRepo, first->commit) / kVariant / "__init__.py");
  auto second = import_folder(layout, request(temp / "src"));
  REQUIRE(second);
  CHECK(second->written_files == 1);
  CHECK(read_file(layout.snapshot(kRepo, first->commit) / kVariant / "sub.txt") == "dot\n");
  CHECK(fs::exists(layout.snapshot(kRepo, first->commit) / kVariant / "__init__.py"));
}

TEST_CASE("import: `build` itself and a folder of variants give the same variants", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  fs::remove(temp / "src/README.md");
  fs::create_directories(temp / "flat");
  fs::copy(temp / "src/build/torch-cpu", temp / "flat/torch-cpu", fs::copy_options::recursive);
  Layout layout(temp / "hub");
  auto whole = import_folder(layout, request(temp / "src"));
  auto build = import_folder(layout, request(temp / "src/build"));
  auto flat = import_folder(layout, request(temp / "flat"));
  REQUIRE((whole && build && flat));
  CHECK(whole->commit == build->commit);
  CHECK(whole->commit == flat->commit);
}

TEST_CASE("import: links and special files are refused before anything is written", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  auto place = temp / "src" / kVariant / "odd";
  auto kind =
      GENERATE(as<std::string>{}, "link to a file", "link to a folder", "fifo", "backslash", "latin-1");
  CAPTURE(kind);
  if (kind == "link to a file") fs::create_symlink("/etc/hostname", place);
  if (kind == "link to a folder") fs::create_directory_symlink("/etc", place);
  if (kind == "fifo") REQUIRE(::mkfifo(place.c_str(), 0600) == 0);
  if (kind == "backslash") put(temp / "src" / kVariant / "a\\b", "x");
  if (kind == "latin-1") put(temp / "src" / kVariant / "caf\xe9", "x");
  auto report = import_folder(Layout(temp / "hub"), request(temp / "src"));
  REQUIRE_FALSE(report);
  CHECK(report.error().code() == Errc::integrity);
  CHECK_FALSE(report.error().hint().empty());
  CHECK(everything_below(temp / "hub").empty());
}

TEST_CASE("import: a `build` that is a link is refused", "[cache]") {
  TempFolder temp;
  put_sources(temp / "real");
  fs::create_directories(temp / "src");
  fs::create_directory_symlink(temp / "real/build", temp / "src/build");
  auto report = import_folder(Layout(temp / "hub"), request(temp / "src"));
  REQUIRE_FALSE(report);
  CHECK(report.error().code() == Errc::integrity);
}

TEST_CASE("import: without one clear version it asks for it", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  Layout layout(temp / "hub");
  SECTION("none stated") {
    put(temp / "src" / kVariant / "metadata.json", "{}");
  }
  SECTION("two stated") {
    put(temp / "src/build/torch-cuda/metadata.json", "{\"version\": 2}");
  }
  SECTION("a version and a revision") {
    auto both = request(temp / "src");
    both.version = 1;
    both.revision = "layers";
    CHECK(import_folder(layout, both).error().code() == Errc::invalid_argument);
    put(temp / "src" / kVariant / "metadata.json", "{}");
  }
  auto report = import_folder(layout, request(temp / "src"));
  REQUIRE_FALSE(report);
  CHECK(report.error().code() == Errc::invalid_argument);
  CHECK(report.error().hint().find("--version") != std::string::npos);
}

TEST_CASE("import: a named branch is the only ref that moves", "[cache]") {
  TempFolder temp;
  put_sources(temp / "src");
  Layout layout(temp / "hub");
  auto named = request(temp / "src");
  named.revision = "refs/pr/1";
  auto report = import_folder(layout, named);
  REQUIRE(report);
  CHECK(report->refs == std::vector<std::string>{"refs/pr/1"});
  CHECK(read_file(layout.repository(kRepo) / "refs/refs/pr/1") == report->commit.str());
  named.revision = report->commit.str();
  CHECK(import_folder(layout, named).error().code() == Errc::invalid_argument);
}

TEST_CASE("import: a folder without variants is not found", "[cache]") {
  TempFolder temp;
  Layout layout(temp / "hub");
  CHECK(import_folder(layout, request(temp / "nothing")).error().code() == Errc::not_found);
  put(temp / "src/metadata.json", "{}");
  auto report = import_folder(layout, request(temp / "src"));
  REQUIRE_FALSE(report);
  CHECK(report.error().code() == Errc::not_found);
  CHECK(report.error().hint().find("folder above") != std::string::npos);
}

TEST_CASE("import: a write that fails leaves no ref and no half snapshot", "[cache]") {
  if (::geteuid() == 0) {
    // Root ignores folder permissions: a file where a folder must be made fails for everybody.
    TempFolder temp;
    put_sources(temp / "src");
    put(temp / "hub/kernels--acme--relu/snapshots", "in the way");
    auto report = import_folder(Layout(temp / "hub"), request(temp / "src"));
    REQUIRE_FALSE(report);
    CHECK(report.error().code() == Errc::io);
    CHECK_FALSE(fs::exists(temp / "hub/kernels--acme--relu/refs"));
    return;
  }
  TempFolder temp;
  put_sources(temp / "src");
  fs::create_directories(temp / "hub");
  fs::permissions(temp / "hub", fs::perms::owner_read | fs::perms::owner_exec);
  CHECK(import_folder(Layout(temp / "hub"), request(temp / "src")).error().code() == Errc::io);
  fs::permissions(temp / "hub", fs::perms::owner_all);
  CHECK(everything_below(temp / "hub").empty());
}
