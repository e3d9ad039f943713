// Winners of contests go into the project file: for the GPU that was measured, and each mode for itself.

#include <fstream>
#include <sstream>

#include "kernels/ops/bench_layers.h"

#include "bench_results/runs.h"
#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::ops;

namespace {

namespace fs = std::filesystem;

const char* const kProject = R"([dependencies]
"acme/a" = 1
"acme/b" = 1
"acme/c" = { version = 2, trust = true }

[[layers.Norm.cuda]]
repo = "acme/a"
mode = "inference"

[[layers.Norm.cuda]]
repo = "acme/a"
mode = "training"
)";

LayerCandidate candidate(const std::string& repo, std::uint64_t version, bool has_backward) {
  LayerCandidate out{.target = {.kernel = repo, .commit = std::string(40, 'a'), .variant = "v", .folder = {}},
                     .contender = {},
                     .serves = {},
                     .repo = *RepoId::parse(repo),
                     .requirement = Requirement::of_version(version)};
  out.contender.function.name = "f";
  out.serves.name = "Norm";
  out.serves.has_backward = has_backward;
  out.trust = version == 2;
  return out;
}

/// `acme/a` is mapped; `acme/b` is faster and has no backward; `acme/c` is between them and has one.
struct Measured {
  Measured() {
    contest.layer = "Norm";
    contest.device = DeviceType::cuda;
    contest.capability = 90;
    contest.candidates = {candidate("acme/a", 1, true), candidate("acme/b", 1, false),
                          candidate("acme/c", 2, true)};
    for (auto mode : {Mode::inference, Mode::training})
      contest.slots.push_back({.mode = mode, .mapped = "acme/a", .candidate = 0});
    results = test::run_on(1, "NVIDIA H100");
    results.devices[0].capability = "9.0";
    results.subjects.clear();
    std::vector<double> times = {3000, 1000, 2000};
    for (std::uint32_t i = 0; i < 3; ++i) {
      auto& subject = results.subjects.emplace_back();
      subject.kernel = contest.candidates[i].target.kernel;
      subject.commit = contest.candidates[i].target.commit;
      subject.layer = "Norm";
      test::add_time(results, "f", times[i]).subject = i;
    }
    file = folder / "kernels.toml";
    test::put(file, kProject);
  }
  Result<std::vector<SelectedLayer>> select() {
    return select_layers(file, text(), {contest}, results, 0.01);
  }
  std::string text() const {
    std::stringstream content;
    content << std::ifstream(file).rdbuf();
    return content.str();
  }

  test::TempFolder folder;
  fs::path file;
  LayerContest contest;
  bench::Results results;
};

}  // namespace

TEST_CASE("select: each mode gets its own winner, for the measured capability only", "[ops]") {
  Measured measured;
  auto selected = measured.select();
  REQUIRE(selected.has_value());
  REQUIRE(selected->size() == 2);
  CHECK((*selected)[0].winner == "acme/b");
  // Training needs a backward pass, which the fastest does not have.
  CHECK((*selected)[1].winner == "acme/c");
  INFO(measured.text());
  CHECK(measured.text().starts_with(kProject));
  auto project = parse_project(measured.text(), ProjectFormat::kernels_toml, "p");
  REQUIRE(project.has_value());
  REQUIRE(project->layers.size() == 4);
  CHECK(project->layers[2].repo.str() == "acme/b");
  CHECK(project->layers[2].capabilities == CapabilityRange{90, 90});
  CHECK(project->layers[3].repo.str() == "acme/c");
  CHECK(project->layers[3].trust);
  CHECK(project->layers[3].requirement == Requirement::of_version(2));
}

TEST_CASE("select: the evidence is enough to repeat it", "[ops]") {
  Measured measured;
  REQUIRE(measured.select().has_value());
  auto text = measured.text();
  INFO(text);
  for (const char* part : {"2026-11-22, NVIDIA H100, driver 580.1, kernels 0.1.0, seed 7",
                           "acme/b aaaaaaaaaaaa: 1 us, geometric mean of the medians of 1 row", "0.5 (0.4",
                           ") of the time of acme/c aaaaaaaaaaaa", "0.3333 (0.33"})
    CHECK(text.find(part) != std::string::npos);
}

TEST_CASE("select: rows of another GPU count for nothing", "[ops]") {
  Measured measured;
  measured.results.devices[0].capability = "8.0";
  auto selected = measured.select();
  REQUIRE(selected.has_value());
  for (const auto& item : *selected)
    CHECK(item.winner.empty());
  CHECK(measured.text() == kProject);
}

TEST_CASE("select: a file that cannot be changed keeps every byte, also what could have been", "[ops]") {
  Measured measured;
  // The second layer is written in a form that cannot be changed.
  auto text = std::string(kProject) + "[layers]\nOther.cuda.repo = \"acme/a\"\n";
  test::put(measured.file, text);
  auto other = measured.contest;
  other.layer = "Other";
  other.slots = {{.mode = Mode::fallback, .mapped = "acme/a", .candidate = 0}};
  auto results = measured.results;
  for (std::uint32_t i = 0; i < 3; ++i) {
    results.subjects.push_back(results.subjects[i]);
    results.subjects.back().layer = "Other";
    results.rows.push_back(results.rows[i]);
    results.rows.back().subject = 3 + i;
  }
  auto selected = select_layers(measured.file, text, {measured.contest, other}, results, 0.01);
  REQUIRE_FALSE(selected.has_value());
  CHECK(selected.error().hint().find("write it by hand") != std::string::npos);
  CHECK(measured.text() == text);
}

TEST_CASE("select: the mode of the file and a link to it stay", "[ops]") {
  Measured measured;
  auto real = measured.folder / "real.toml";
  fs::rename(measured.file, real);
  fs::permissions(real, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("real.toml", measured.file);
  REQUIRE(measured.select().has_value());
  CHECK(fs::is_symlink(measured.file));
  CHECK(fs::status(real).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
  CHECK(measured.text() != kProject);
}
