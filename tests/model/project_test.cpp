#include "kernels/model/project.h"

#include "support/catch.h"

using namespace kernels;
using Catch::Matchers::StartsWith;
using kernels::test::contains;

namespace {
Result<Project> kernels_toml(const std::string& text) {
  return parse_project(text, ProjectFormat::kernels_toml, "kernels.toml");
}
}  // namespace

TEST_CASE("project: dependencies in every spelling, in the order of the file", "[model]") {
  auto project = kernels_toml(R"([dependencies]
"zeta/z" = 1
"acme/relu" = ">=0.0.3,<0.1"
"acme/any" = ""
"acme/x" = { revision = "main", trust = true }
"acme/y" = { version = "==1.*" }

[dependencies."acme/w"]
version = 18
)");
  REQUIRE(project);
  CHECK(project->has_dependencies_table);
  std::vector<std::string> shown;
  for (const auto& item : project->dependencies)
    shown.push_back(item.repo.str() + " " + item.requirement.display() + (item.trust ? " trusted " : " ") +
                    item.where.str());
  CHECK(shown == std::vector<std::string>{
                     "zeta/z version 1 kernels.toml:2", "acme/relu >=0.0.3,<0.1 kernels.toml:3",
                     "acme/any any version kernels.toml:4", "acme/x revision main trusted kernels.toml:5",
                     "acme/y ==1.* kernels.toml:6", "acme/w version 18 kernels.toml:8"});
}

TEST_CASE("project: layers in the short and the long form, with what they inherit", "[model]") {
  auto project = kernels_toml(R"([dependencies]
"acme/relu" = { version = 2, trust = true }

[layers.SiluAndMul]
cuda = { repo = "acme/relu" }
rocm = [
  { repo = "acme/other", layer = "Silu", mode = "inference|torch-compile", min-capability = 90, max-capability = 94 },
  { repo = "acme/relu", revision = "dev" },
]

[layers.A]
xpu = { repo = "acme/new", version = 3, trust = true }
)");
  REQUIRE(project);
  REQUIRE(project->layers.size() == 4);
  const auto& inherited = project->layers[0];
  CHECK(inherited.layer == "SiluAndMul");
  CHECK(inherited.kernel_layer == "SiluAndMul");
  CHECK(inherited.device == DeviceType::cuda);
  CHECK(inherited.mode == Mode::fallback);
  CHECK(inherited.capabilities == CapabilityRange{});
  CHECK(inherited.requirement.display() == "version 2");
  CHECK(inherited.trust);
  CHECK(inherited.where.line == 5);
  const auto& full = project->layers[1];
  CHECK(full.kernel_layer == "Silu");
  CHECK(full.mode.str() == "inference|torch-compile");
  CHECK(full.capabilities == CapabilityRange{.min = 90, .max = 94});
  CHECK(full.requirement.display() == "revision main");
  CHECK_FALSE(full.trust);
  CHECK(project->layers[2].requirement.display() == "revision dev");
  CHECK(project->layers[2].trust);
  CHECK(project->layers[3].layer == "A");
  CHECK(project->layers[3].device == DeviceType::xpu);
  CHECK(project->layers[3].trust);
}

TEST_CASE("project: targets and trust", "[model]") {
  auto project = kernels_toml(R"([targets.cluster]
os = "linux"
cpu = "aarch64"
cuda = "13.0"
torch = "2.10"
capability = ["9.0", "10.0"]
[targets.mac]
os = "darwin"
cpu = "aarch64"
backend = "metal"
macos = "26.0"
capability = "1.0"
[targets.old]
torch = "2.5"
cxx11-abi = false
[trust]
publishers = ["acme", "other"]
signatures = "require"
signers = ["https://git.example/x"]
)");
  REQUIRE(project);
  const auto& cluster = project->targets.at("cluster");
  CHECK(cluster.name == "cluster");
  CHECK(cluster.display() == "linux aarch64, CUDA 13.0, torch 2.10, capability 9.0, capability 10.0");
  CHECK(cluster.cxx11_abi == true);
  CHECK(project->targets.at("mac").backend.name() == "metal");
  CHECK(project->targets.at("mac").capabilities.size() == 1);
  CHECK(project->targets.at("old").cxx11_abi == false);
  CHECK(project->trust.publishers == std::vector<std::string>{"acme", "other"});
  CHECK(project->trust.signatures == SignaturePolicy::require);
  CHECK(project->trust.signers.size() == 1);
  CHECK_FALSE(project->has_dependencies_table);
  CHECK(kernels_toml("[trust]\nsignatures = \"off\"")->trust.signatures == SignaturePolicy::off);
  CHECK(kernels_toml("[trust]\nsignatures = \"warn\"")->trust.signatures == SignaturePolicy::warn);
  CHECK_FALSE(kernels_toml("")->trust.signatures);
}

TEST_CASE(
    "project: pyproject.toml keeps its tables below tool.kernels, and its others are no business of ours",
    "[model]") {
  auto parse = [](const std::string& text) {
    return parse_project(text, ProjectFormat::pyproject, "pyproject.toml");
  };
  auto project =
      parse("[project]\nname = \"x\"\n[tool.other]\na = 1\n[tool.kernels.dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(project);
  REQUIRE(project->dependencies.size() == 1);
  CHECK(project->dependencies[0].where.str() == "pyproject.toml:6");
  CHECK(parse("[project]\nname = \"x\"\n")->dependencies.empty());
  CHECK(parse("tool = 1\n")->dependencies.empty());
  CHECK_FALSE(parse("[tool]\nkernels = 1\n"));
  CHECK_THAT(parse("[tool.kernels.dependences]\n").error().hint(), contains("`dependencies`"));
}

TEST_CASE("project: an error says file and line, what is wrong, and often what to write", "[model]") {
  struct Row {
    const char* name;
    const char* toml;
    const char* start;
    const char* hint;
  };
  auto row = GENERATE(values<Row>({
      {"not TOML", "\n\n[dependencies\n", "kernels.toml:3:", ""},
      {"a letter outside ASCII", "[dependencies]\n\"a/b\" = 1 é\n", "kernels.toml:2:11: not valid TOML", ""},
      {"a key given twice", "[dependencies]\n\"a/b\" = 1\n\"a/b\" = 2\n", "kernels.toml:3:", ""},
      {"unknown table", "[dependancies]\n", "kernels.toml:1: unknown key `dependancies`",
       "did you mean `dependencies`?"},
      {"unknown table, not near", "\n[zzzzzz]\n", "kernels.toml:2: unknown key `zzzzzz`",
       "known keys are `dependencies`"},
      {"dependencies no table", "dependencies = 1\n", "kernels.toml:1: `dependencies` should be a table", ""},
      {"bad repository", "[dependencies]\n\"a//b\" = 1\n", "kernels.toml:2: `a//b` is not a repository name",
       "organisation/name"},
      {"version of another type", "[dependencies]\n\"a/b\" = 1.0\n",
       "kernels.toml:2: a version should be a number", "`1` or"},
      {"a list as version", "[dependencies]\n\"a/b\" = []\n", "kernels.toml:2: a version should be a number",
       "`1` or"},
      {"true as version", "[dependencies]\n\"a/b\" = true\n", "kernels.toml:2: a version should be a number",
       "`1` or"},
      {"negative version", "[dependencies]\n\"a/b\" = -1\n", "kernels.toml:2: a version cannot be negative",
       ""},
      {"bad specifier", "[dependencies]\n\"a/b\" = \"=>1\"\n",
       "kernels.toml:2: `=>1` is not a version specifier", ">=0.0.3"},
      {"neither version nor revision", "[dependencies]\n\"a/b\" = { trust = true }\n",
       "kernels.toml:2: the dependency `a/b` has neither", "\"a/b\" = 1"},
      {"both", "[dependencies]\n\"a/b\" = { version = 1, revision = \"x\" }\n",
       "kernels.toml:2: both `version`", "keep one"},
      {"unknown key of a dependency", "[dependencies]\n\"a/b\" = { vresion = 1 }\n",
       "kernels.toml:2: unknown key `vresion` in the dependency `a/b`", "did you mean `version`?"},
      {"bad revision", "[dependencies]\n\"a/b\" = { revision = \"../x\" }\n",
       "kernels.toml:2: `../x` is not a revision", "a branch"},
      {"revision of another type", "[dependencies]\n\"a/b\" = { revision = 1 }\n",
       "kernels.toml:2: `revision` should be a string", ""},
      {"trust of another type", "[dependencies]\n\"a/b\" = { version = 1, trust = \"yes\" }\n",
       "kernels.toml:2: `trust` should be true or false", ""},
      {"layers no table", "layers = []\n", "kernels.toml:1: `layers` should be a table", ""},
      {"a layer no table", "[layers]\nA = 1\n", "kernels.toml:2: the layer `A` should be a table", ""},
      {"an empty layer", "[layers.A]\n", "kernels.toml:1: the layer `A` should be a table", ""},
      {"unknown device", "[layers.A]\ncoda = { repo = \"a/b\" }\n", "kernels.toml:2: `coda` is not a device",
       "did you mean `cuda`?"},
      {"an empty list of rows", "[layers.A]\ncuda = []\n", "kernels.toml:2: the layer `A` has an empty list",
       ""},
      {"a row no table", "[layers.A]\ncuda = \"a/b\"\n", "kernels.toml:2: a layer's entry should be a table",
       ""},
      {"a row without repo", "[layers.A]\ncuda = { layer = \"x\" }\n",
       "kernels.toml:2: the layer `A` has no `repo`", ""},
      {"a row with a bad repo", "[layers.A]\ncuda = { repo = \"a b\" }\n",
       "kernels.toml:2: `a b` is not a repository name", ""},
      {"unknown key of a row", "[layers.A]\ncuda = { repo = \"a/b\", min_capability = 75 }\n",
       "kernels.toml:2: unknown key `min_capability` in the layer `A`", "did you mean `min-capability`?"},
      {"bad mode", "[layers.A]\ncuda = { repo = \"a/b\", mode = \"train\" }\n",
       "kernels.toml:2: `train` is not a mode", "`inference`"},
      {"mode of another type", "[layers.A]\ncuda = { repo = \"a/b\", mode = 1 }\n",
       "kernels.toml:2: `mode` should be a string", ""},
      {"an empty range", "[layers.A]\ncuda = { repo = \"a/b\", min-capability = 90, max-capability = 75 }\n",
       "kernels.toml:2: `min-capability` 90 is above `max-capability` 75", ""},
      {"capability of another type", "[layers.A]\ncuda = { repo = \"a/b\", min-capability = \"9.0\" }\n",
       "kernels.toml:2: `min-capability` should be a number such as 90", ""},
      {"capability too large", "[layers.A]\ncuda = { repo = \"a/b\", max-capability = 10000 }\n",
       "kernels.toml:2: `max-capability` should be a number", ""},
      {"capability of a CPU", "[layers.A]\ncpu = { repo = \"a/b\", min-capability = 75 }\n",
       "kernels.toml:2: a capability range does not apply to the device `cpu`", "use `cuda`"},
      {"both, in a row", "[layers.A]\ncuda = { repo = \"a/b\", version = 1, revision = \"x\" }\n",
       "kernels.toml:2: both", "keep one"},
      {"targets no table", "targets = 1\n", "kernels.toml:1: `targets` should be a table", ""},
      {"a target no table", "[targets]\na = \"linux\"\n", "kernels.toml:2: the target `a` should be a table",
       ""},
      {"unknown key of a target", "[targets.a]\ntorh = \"2.11\"\n",
       "kernels.toml:2: a target has no key `torh`", "`torch`?"},
      {"a number as version", "[targets.a]\ncuda = 13.0\n", "kernels.toml:2: `cuda` should be a string",
       "cuda = \"13.0\""},
      {"a list where none may be", "[targets.a]\ncuda = [\"13.0\"]\n",
       "kernels.toml:2: `cuda` should be a string", ""},
      {"a number in the list", "[targets.a]\ncapability = [9.0]\n",
       "kernels.toml:2: `capability` should be a string", ""},
      {"two backends", "[targets.a]\ncuda = \"13.0\"\nrocm = \"7.0\"\n",
       "kernels.toml:3: a target has one backend", "two targets"},
      {"trust no table", "trust = true\n", "kernels.toml:1: `trust` should be a table", ""},
      {"unknown key of trust", "[trust]\npublisher = []\n",
       "kernels.toml:2: unknown key `publisher` in `[trust]`", "`publishers`?"},
      {"publishers no list", "[trust]\npublishers = \"acme\"\n",
       "kernels.toml:2: `publishers` should be a list of strings", ""},
      {"a number among signers", "[trust]\nsigners = [\n  1,\n]\n",
       "kernels.toml:3: `signers` should be a list of strings", ""},
      {"unknown policy", "[trust]\nsignatures = \"maybe\"\n",
       "kernels.toml:2: `maybe` is not a signature policy", "`off`"},
      {"policy of another type", "[trust]\nsignatures = true\n",
       "kernels.toml:2: `signatures` should be a string", ""},
  }));
  INFO(row.name);
  auto project = kernels_toml(row.toml);
  REQUIRE_FALSE(project);
  CHECK(project.error().code() == Errc::invalid_argument);
  CHECK_THAT(project.error().text(), StartsWith(row.start));
  CHECK_THAT(project.error().hint(), contains(row.hint));
}

TEST_CASE("requirement: the three kinds keep apart what they are", "[model]") {
  CHECK(Requirement::of_version(1) == Requirement::of_version(1));
  CHECK_FALSE(Requirement::of_version(1) == Requirement::of_version(2));
  CHECK_FALSE(Requirement::of_version(1) == Requirement::of_revision("1"));
  CHECK_FALSE(Requirement::of_specifier(*SpecifierSet::parse("==1")) == Requirement::of_revision("==1"));
}
