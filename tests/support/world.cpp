#include "support/world.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "kernels/cache/import.h"
#include "kernels/ops/serve.h"

#include "support/elf_writer.h"
#include "support/gpu_code_writer.h"
#include "support/program.h"

namespace kernels::test {

namespace fs = std::filesystem;

World::World(hub::ServeOptions options) {
  fs::create_directories(temp / "publisher");
  fs::create_directories(folder());
  if (options.trusted_publishers.empty()) options.trusted_publishers = {"acme"};
  auto started = ops::serve({.cache = temp / "publisher", .options = std::move(options)});
  if (!started) throw std::runtime_error(describe(started.error()));
  server = std::move(*started);
  hub = std::make_unique<FaultyHub>(server->port());
}

static std::string metadata_of(const Publication& publication, const std::string& variant) {
  auto name = publication.repo.substr(publication.repo.find('/') + 1);
  std::string backend = variant.find("-cu") != std::string::npos
                            ? R"({"type": "cuda", "archs": ["9.0", "10.0+PTX"]})"
                            : R"({"type": "cpu"})";
  return R"({"name": ")" + name + R"(", "id": "_)" + name + R"(_x_0a1b2c3", "version": )" +
         std::to_string(publication.version) + R"(, "license": "Apache-2.0", "python-depends": [], )" +
         R"("kernel-depends": )" + publication.kernel_depends + R"(, "backend": )" + backend + "}\n";
}

std::string World::publish(const Publication& publication) {
  TempFolder source;
  for (const auto& [name, content] : publication.root_files)
    put(source / name, content);
  for (const auto& [variant, files] : publication.variants) {
    auto build = source / ("build/" + variant);
    if (!files.contains("metadata.json")) put(build / "metadata.json", metadata_of(publication, variant));
    for (const auto& [name, content] : files)
      if (content != "-") put(build / name, content);
  }
  cache::ImportRequest request{
      .folder = source.path(), .repo = *RepoId::parse(publication.repo), .durable = Durable::no};
  if (publication.revision)
    request.revision = publication.revision;
  else
    request.version = publication.version;
  auto report = cache::import_folder(cache::Layout(temp / "publisher"), request);
  if (!report) throw std::runtime_error(describe(report.error()));
  return report->commit.str();
}

static const char* const kLayers =
    "import torch\n\n\nclass Relu(torch.nn.Module):\n    has_backward = False\n\n"
    "    def forward(self, x):\n        return x\n";

std::string cpu_library(const std::string& content) {
  return write_elf({.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.17"}}},
                    .symbols = {{.name = "__tvm_ffi_relu"},
                                {.name = "malloc", .is_defined = false, .version = "GLIBC_2.17"}},
                    .data = content});
}

std::string cuda_library(const std::string& content) {
  auto code = write_fat_binary({{.arch = 90}, {.arch = 100}, {.kind = 1, .arch = 100}});
  return write_elf({.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.17"}}},
                    .symbols = {{.name = "__tvm_ffi_relu"}},
                    .data = code + content});
}

std::string World::publish_simple(const std::string& name, std::uint64_t version, const std::string& body) {
  std::map<std::string, std::string> files = {{"__init__.py", "# " + body + "\n"},
                                              {"_" + name + ".so", cpu_library(name + body)},
                                              {"layers/__init__.py", kLayers}};
  auto cuda_files = files;
  cuda_files["_" + name + ".so"] = cuda_library(name + body);
  return publish(
      {.repo = "acme/" + name,
       .version = version,
       .variants = {{"tvm-ffi01-cpu-x86_64-linux", files}, {"tvm-ffi01-cu130-x86_64-linux", cuda_files}}});
}

void World::project(const std::string& toml) {
  put(folder() / "kernels.toml", toml);
}

Outcome World::kernels(std::vector<std::string> arguments, RunOptions options) {
  arguments.insert(arguments.begin(), KERNELS_PROGRAM);
  options.folder = folder();
  options.environment.try_emplace("HF_ENDPOINT", hub->url());
  options.environment.try_emplace("HF_HUB_CACHE", cache().string());
  options.environment.try_emplace("KERNELS_HTTP_RETRIES", "1");
  options.environment.try_emplace("XDG_STATE_HOME", (temp / "state").string());
  return run_program(arguments, options);
}

std::string World::read(const std::string& file) const {
  std::ifstream stream(folder() / file, std::ios::binary);
  std::stringstream content;
  content << stream.rdbuf();
  return content.str();
}

std::vector<std::string> World::files_below(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (it->is_symlink() || it->is_regular_file())
      out.push_back(it->path().lexically_relative(folder).string());
  std::ranges::sort(out);
  return out;
}

}  // namespace kernels::test
