// A kernel that is selected for a layer goes into the project file; everything else there stays as it was.

#include <algorithm>
#include <set>

#include "kernels/model/project_edit.h"
#include "kernels/resolve/layer_choice.h"

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;

namespace {

LayerSelection selection(const std::string& layer, DeviceType device, std::optional<std::uint32_t> capability,
                         Mode mode = Mode::fallback) {
  return {.layer = layer,
          .device = device,
          .capability = capability,
          .mode = mode,
          .repo = *RepoId::parse("acme/winner"),
          .kernel_layer = "Fast",
          .requirement = Requirement::of_revision("main"),
          .evidence = {"1.5x"}};
}

std::string select(const std::string& text, const LayerSelection& what) {
  auto changed = select_layer(text, ProjectFormat::kernels_toml, "kernels.toml", what);
  INFO(text << (changed ? "" : describe(changed.error())));
  REQUIRE(changed.has_value());
  return *changed;
}

}  // namespace

TEST_CASE("selection: a row for exactly the device is changed where it stands, comments stay", "[resolve]") {
  CHECK(select("# mine\n[layers.A] # a\ncpu = { repo = \"a/b\", mode = \"inference\" } # why\n# end\n",
               selection("A", DeviceType::cpu, std::nullopt, Mode::inference)) ==
        "# mine\n[layers.A] # a\n# kernels bench --select: 1.5x\n"
        "cpu = { repo = \"acme/winner\", layer = \"Fast\", mode = \"inference\" } # why\n# end\n");
  CHECK(select("[[layers.A.cuda]]\n  repo = \"a/b\" # r\n  version = 3\n  min-capability = 90\n"
               "  max-capability = 90\n\n[dependencies]\n\"acme/winner\" = 1\n",
               [] {
                 auto what = selection("A", DeviceType::cuda, 90);
                 what.requirement = Requirement::of_version(1);
                 return what;
               }()) ==
        "# kernels bench --select: 1.5x\n[[layers.A.cuda]]\n  repo = \"acme/winner\" # r\n"
        "  layer = \"Fast\"\n  min-capability = 90\n  max-capability = 90\n\n"
        "[dependencies]\n\"acme/winner\" = 1\n");
}

TEST_CASE("selection: rows for one capability are added beside wider ones, with all of their modes",
          "[resolve]") {
  auto changed = select(
      "[[layers.A.cuda]]\nrepo = \"a/b\"\nmode = \"inference\"\n[[layers.A.cuda]]\nrepo = \"a/c\"\n"
      "mode = \"training\"\n\n# next\n[targets.x]\ncpu = \"x86_64\"\n",
      selection("A", DeviceType::cuda, 90, Mode::inference));
  CHECK(changed ==
        "[[layers.A.cuda]]\nrepo = \"a/b\"\nmode = \"inference\"\n[[layers.A.cuda]]\nrepo = \"a/c\"\n"
        "mode = \"training\"\n\n# kernels bench --select: 1.5x\n[[layers.A.cuda]]\nrepo = \"acme/winner\"\n"
        "layer = \"Fast\"\nmode = \"inference\"\nmin-capability = 90\nmax-capability = 90\n\n"
        "[[layers.A.cuda]]\nrepo = \"a/c\"\nmode = \"training\"\nmin-capability = 90\nmax-capability = 90\n\n"
        "# next\n[targets.x]\ncpu = \"x86_64\"\n");
  CHECK(select("[layers.A]\ncuda = { repo = \"a/b\" }", selection("A", DeviceType::cuda, 90)) ==
        "[layers.A]\ncuda = [\n  { repo = \"a/b\" },\n  # kernels bench --select: 1.5x\n"
        "  { repo = \"acme/winner\", layer = \"Fast\", min-capability = 90, max-capability = 90 },\n]");
  CHECK(select("[layers.A.cuda]\nrepo = \"a/b\"", selection("A", DeviceType::cuda, 90)) ==
        "[[layers.A.cuda]]\nrepo = \"a/b\"\n\n# kernels bench --select: 1.5x\n[[layers.A.cuda]]\n"
        "repo = \"acme/winner\"\nlayer = \"Fast\"\nmin-capability = 90\nmax-capability = 90\n");
}

TEST_CASE("selection: what was selected before is replaced with its evidence, once and again", "[resolve]") {
  auto what = selection("A", DeviceType::cuda, 90);
  auto once = select("[layers.A]\ncuda = { repo = \"a/b\" }\n", what);
  CHECK(select(once, what) == once);
  what.repo = *RepoId::parse("acme/other");
  what.evidence = {"2x", "seed 7"};
  auto twice = select(once, what);
  CHECK(twice.find("1.5x") == std::string::npos);
  CHECK(twice.find("acme/winner") == std::string::npos);
  CHECK(twice.find("# kernels bench --select: 2x\n  # kernels bench --select: seed 7\n") !=
        std::string::npos);
}

TEST_CASE("selection: a form that cannot be changed is refused with what to write by hand", "[resolve]") {
  auto refused = select_layer("layers.A.cpu.repo = \"a/b\"\n", ProjectFormat::kernels_toml, "kernels.toml",
                              selection("A", DeviceType::cpu, std::nullopt));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code() == Errc::invalid_argument);
  CHECK(refused.error().hint().find("repo = \"acme/winner\"") != std::string::npos);
  auto unmapped = select_layer("[layers.A]\ncpu = { repo = \"a/b\" }\n", ProjectFormat::kernels_toml,
                               "kernels.toml", selection("A", DeviceType::cuda, 90));
  CHECK_FALSE(unmapped.has_value());
  // What one GPU has shown says nothing of the others.
  CHECK_FALSE(select_layer("[layers.A]\ncuda = { repo = \"a/b\" }\n", ProjectFormat::kernels_toml,
                           "kernels.toml", selection("A", DeviceType::cuda, std::nullopt)));
}

namespace {

const std::vector<std::string> kModes = {"fallback", "inference", "training", "inference|torch-compile"};

/// Projects in all the forms in which people write them, with a comment wherever one may stand.
class Writer {
 public:
  explicit Writer(std::mt19937_64& random) : random_(random) {}

  std::string project(const std::string& prefix) {
    text_ = "# top" + newline_;
    if (below(2) == 0)
      text_ += "[" + prefix + "dependencies]" + comment() + "\"acme/winner\" = 1" + comment() +
               "\"a/k1\" = \">=1\"" + newline_;
    for (const char* layer : {"A", "\"B x\"", "C"}) {
      std::vector<std::string> devices = {"cuda", "cpu", "rocm"};
      std::ranges::shuffle(devices, random_);
      devices.resize(1 + below(3));
      bool nested = below(2) == 0;
      std::string head = prefix + "layers." + layer;
      if (nested) text_ += "[" + head + "]" + comment();
      // Keys of the table first: what follows a header belongs to that.
      for (const auto& device : devices)
        if (nested) inline_rows(device);
      for (const auto& device : devices)
        if (!nested) block_rows(head + "." + device, device);
    }
    text_ += "[" + prefix + "trust]" + newline_ + "publishers = [\"acme\"]" + newline_;
    return text_;
  }
  void use_newline(std::string newline) { newline_ = std::move(newline); }
  const std::vector<std::string>& comments() const { return comments_; }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }
  std::string comment() {
    if (below(3) != 0) return newline_;
    comments_.push_back("# c" + std::to_string(comments_.size()) + ";");
    return " " + comments_.back() + (below(2) == 0 ? " \xC3\xA4 [x] { \"" : "") + newline_;
  }
  std::vector<std::pair<std::string, std::string>> row(const std::string& device) {
    std::vector<std::pair<std::string, std::string>> out = {
        {"repo", "\"a/k" + std::to_string(below(4)) + "\""}};
    if (below(2) == 0) out.emplace_back("layer", "'L" + std::to_string(below(3)) + "'");
    if (below(2) == 0) out.emplace_back("mode", "\"" + kModes[below(kModes.size())] + "\"");
    if (device != "cpu") {
      auto low = 70 + below(4) * 10;
      if (below(2) == 0) out.emplace_back("min-capability", std::to_string(low));
      if (below(2) == 0) out.emplace_back("max-capability", std::to_string(low + below(3) * 10));
    }
    if (below(4) == 0) out.emplace_back("version", "2");
    if (below(4) == 0) out.emplace_back("trust", below(2) == 0 ? "true" : "false");
    std::ranges::shuffle(out, random_);
    return out;
  }
  std::string braces(const std::string& device) {
    std::string out = "{";
    for (const auto& [key, value] : row(device))
      out += std::string(out == "{" ? " " : ", ") + key + (below(2) == 0 ? " = " : "=") + value;
    return out + " }";
  }
  void inline_rows(const std::string& device) {
    auto form = below(3);
    text_ += device + " = ";
    if (form == 0) {
      text_ += braces(device);
    } else {
      auto count = 1 + below(3);
      text_ += "[" + (form == 1 ? " " : comment());
      for (std::size_t i = 0; i < count; ++i) {
        bool is_last = i + 1 == count;
        text_ += (form == 1 ? "" : "  ") + braces(device) + (is_last && below(2) == 0 ? "" : ",") +
                 (form == 1 ? " " : comment());
      }
      text_ += "]";
    }
    text_ += comment();
  }
  void block_rows(const std::string& head, const std::string& device) {
    auto count = 1 + below(3);
    std::string margin(below(2) * 2, ' ');
    for (std::size_t i = 0; i < count; ++i) {
      bool single = count == 1 && below(2) == 0;
      text_ += margin + (single ? "[" + head + "]" : "[[ " + head + " ]]") + comment();
      for (const auto& [key, value] : row(device)) {
        if (below(5) == 0) text_ += comment();
        text_ += margin + key + " = " + value + comment();
      }
    }
  }

  std::mt19937_64& random_;
  std::string newline_ = "\n";
  std::string text_;
  std::vector<std::string> comments_;
};

using Table = resolve::LayerTable<ProjectLayer>;

Table table_of(const Project& project) {
  std::map<std::tuple<std::string, DeviceType, CapabilityRange>, Table::ByMode> entries;
  for (const auto& row : project.layers)
    entries[{row.layer, row.device, row.capabilities}].insert_or_assign(row.mode, row);
  Table table;
  for (auto& [key, modes] : entries)
    table.insert(std::get<0>(key), std::get<1>(key), std::get<2>(key), std::move(modes));
  return table;
}

std::string kernel_of(const ProjectLayer& row) {
  return row.repo.str() + " " + row.kernel_layer + " " + row.requirement.display() +
         (row.trust ? " trusted" : "");
}

}  // namespace

TEST_CASE("selection: of any project, what was selected is found there, and all else is found as before",
          "[resolve]") {
  auto seed = test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::size_t done = 0;
  for (int round = 0; round < 600; ++round) {
    Writer writer(random);
    if (random() % 3 == 0) writer.use_newline("\r\n");
    auto format = random() % 2 == 0 ? ProjectFormat::kernels_toml : ProjectFormat::pyproject;
    auto text = writer.project(format == ProjectFormat::pyproject ? "tool.kernels." : "");
    auto before = parse_project(text, format, "p");
    if (!before) continue;  // a range upside down
    const auto& any = before->layers[random() % before->layers.size()];
    std::optional<std::uint32_t> capability;
    if (any.device != DeviceType::cpu) capability = 70 + random() % 5 * 10;
    auto rows = rows_in_effect(*before, any.layer, any.device, capability);
    if (rows.empty()) continue;
    auto what = selection(any.layer, any.device, capability, rows[random() % rows.size()]->mode);
    what.trust = random() % 2 == 0;
    INFO(text);
    CAPTURE(what.layer, what.mode.str(), to_string(what.device), capability.value_or(0));
    auto changed = select_layer(text, format, "p", what);
    if (!changed) FAIL(describe(changed.error()));
    INFO(*changed);
    auto after = parse_project(*changed, format, "p");
    REQUIRE(after.has_value());
    ++done;
    auto old_table = table_of(*before);
    auto new_table = table_of(*after);
    for (const char* layer : {"A", "B x", "C"})
      for (auto device : {DeviceType::cuda, DeviceType::cpu, DeviceType::rocm})
        for (std::uint32_t at = 68; at < 122; ++at)
          for (auto mode : resolve::requestable_modes()) {
            auto order = *resolve::lookup_order(mode);
            auto was = old_table.choose(layer, device, at, order);
            auto is = new_table.choose(layer, device, at, order);
            REQUIRE((was.value == nullptr) == (is.value == nullptr));
            if (was.value == nullptr) continue;
            bool here = layer == what.layer && device == what.device && was.registered == what.mode &&
                        (!capability || at == *capability);
            auto expected = here
                                ? "acme/winner Fast revision main" + std::string(what.trust ? " trusted" : "")
                                : kernel_of(*was.value);
            REQUIRE(is.registered == was.registered);
            REQUIRE(kernel_of(*is.value) == expected);
          }
    // Comments outlive the row that they were about, but for those at keys that are gone.
    for (const auto& comment : writer.comments()) {
      auto at = text.find(comment);
      auto line = text.substr(text.rfind('\n', at) + 1, at - text.rfind('\n', at) - 1);
      bool is_at_gone_key = line.find("version =") < 4 || line.find("trust =") < 4;
      if (!is_at_gone_key) REQUIRE(changed->find(comment) != std::string::npos);
    }
    auto again = select_layer(*changed, format, "p", what);
    REQUIRE(again.has_value());
    REQUIRE(*again == *changed);
  }
  CHECK(done > 200);
}
