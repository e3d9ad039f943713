// Puts one variant of a kernel into the layout of a Hub repository:
//
//   <out>/README.md
//   <out>/build/<variant>/__init__.py, _ops.py, layers/__init__.py, layers.toml, workloads.toml
//   <out>/build/<variant>/_<name>_<backend>_<7 hex>.so
//   <out>/build/<variant>/metadata.json      digests of all files above
//
// The seven digits come from the contents, so the same sources give the same bytes under the same name.

#define TOML_HEADER_ONLY 1

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <toml++/toml.h>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"

namespace {

namespace fs = std::filesystem;
using kernels::Errc;
using kernels::Result;
using kernels::Status;

struct Request {
  fs::path source;
  fs::path ops_template;
  fs::path library;
  fs::path out;
  std::string variant;
  std::string backend;
  std::vector<std::string> archs;
};

struct KernelInfo {
  std::string name;
  std::int64_t version = 0;
  std::string license;
  std::vector<std::string> python_depends;
};

using Files = std::map<std::string, std::string>;  // path inside the variant → content, in order of path

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::string::size_type begin = 0;
  while (begin < text.size()) {
    const auto end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Result<Request> parse(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2)
    options[argv[i]] = argv[i + 1];
  for (const char* name : {"--source", "--ops", "--library", "--out", "--variant", "--backend"})
    if (!options.contains(name)) return kernels::fail(Errc::invalid_argument, std::string("missing ") + name);
  return Request{options["--source"],  options["--ops"],     options["--library"],     options["--out"],
                 options["--variant"], options["--backend"], split(options["--archs"])};
}

/// What the Python package takes for one: ^[a-z][-a-z0-9]*[a-z0-9]$.
bool is_kernel_name(std::string_view name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return name.size() >= 2 && is_letter(name.front()) && name.back() != '-' &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || is_digit(c) || c == '-'; });
}

Result<KernelInfo> read_info(const fs::path& path) {
  auto text = kernels::read_file(path);
  if (!text) return std::unexpected(std::move(text).error());
  try {
    const toml::table table = toml::parse(*text);
    KernelInfo info;
    info.name = table["name"].value_or(std::string());
    info.version = table["version"].value_or(std::int64_t{0});
    info.license = table["license"].value_or(std::string());
    if (const auto* list = table["python-depends"].as_array())
      for (const auto& entry : *list)
        info.python_depends.push_back(entry.value_or(std::string()));
    if (!info.name.empty() && !is_kernel_name(info.name))
      return kernels::fail(Errc::invalid_argument,
                           "`" + path.string() + "`: `" + info.name +
                               "` is no name of a kernel: lower-case letters, digits and dashes, "
                               "a letter first and no dash last, two at least");
    if (info.name.empty() || info.version < 1 || info.license.empty())
      return kernels::fail(Errc::invalid_argument, "`" + path.string() + "` needs name, version and license");
    return info;
  } catch (const toml::parse_error& error) {
    return kernels::fail(Errc::invalid_argument,
                         "`" + path.string() + "`: " + std::string(error.description()));
  }
}

Result<Files> read_python(const fs::path& folder) {
  Files files;
  std::error_code code;
  for (const auto& entry : fs::recursive_directory_iterator(folder, code)) {
    if (entry.path().extension() != ".py") continue;
    auto text = kernels::read_file(entry.path());
    if (!text) return std::unexpected(std::move(text).error());
    files[fs::relative(entry.path(), folder).generic_string()] = std::move(*text);
  }
  if (code) return kernels::fail(kernels::system_error("list", folder.string(), code.value()));
  return files;
}

std::string content_id(const Files& files, const std::string& variant) {
  kernels::Hasher hasher(kernels::HashAlgorithm::sha256);
  hasher.update(variant);
  for (const auto& [path, content] : files) {
    std::string head = path;
    head += '\0';
    head += std::to_string(content.size());
    head += '\0';
    hasher.update(head);
    hasher.update(content);
  }
  return hasher.finish_hex().substr(0, 7);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string metadata(const Request& request, const KernelInfo& info, const std::string& id,
                     const Files& files) {
  nlohmann::ordered_json digests = nlohmann::ordered_json::object();
  for (const auto& [path, content] : files) {
    kernels::Hasher hasher(kernels::HashAlgorithm::sha256);
    hasher.update(content);
    digests[path] = kernels::to_base64(hasher.finish());
  }
  nlohmann::ordered_json backend = {{"type", request.backend}};
  if (!request.archs.empty()) backend["archs"] = request.archs;
  const nlohmann::ordered_json document = {{"name", info.name},
                                           {"id", id},
                                           {"version", info.version},
                                           {"license", info.license},
                                           {"python-depends", info.python_depends},
                                           {"backend", backend},
                                           {"digest", {{"algorithm", "sha256"}, {"files", digests}}}};
  return document.dump(2) + "\n";
}

Result<Files> collect(const Request& request, const KernelInfo& info, std::string& id) {
  auto files = read_python(request.source / "python");
  if (!files) return files;
  for (const auto& [name, path] :
       {std::pair{std::string("workloads.toml"), request.source / "workloads.toml"},
        std::pair{std::string("layers.toml"), request.source / "layers.toml"},
        std::pair{std::string("_ops.py"), request.ops_template},
        std::pair{std::string("library"), request.library}}) {
    auto content = kernels::read_file(path, 1ULL << 30);
    if (!content) return std::unexpected(std::move(content).error());
    (*files)[name] = std::move(*content);
  }
  id = "_" + info.name + "_" + request.backend + "_" + content_id(*files, request.variant);
  id = replaced(id, "-", "_");
  auto library = files->extract("library");
  library.key() = id + ".so";
  (*files)["_ops.py"] = replaced((*files)["_ops.py"], "@LIBRARY@", id + ".so");
  files->insert(std::move(library));
  return files;
}

Status pack(const Request& request) {
  auto info = read_info(request.source / "kernel.toml");
  if (!info) return std::unexpected(std::move(info).error());
  std::string id;
  auto files = collect(request, *info, id);
  if (!files) return std::unexpected(std::move(files).error());
  const fs::path folder = request.out / "build" / request.variant;
  std::error_code code;
  fs::remove_all(folder, code);
  std::string document = metadata(request, *info, id, *files);
  (*files)["metadata.json"] = std::move(document);
  for (const auto& [path, content] : *files)
    if (auto written = kernels::write_file(folder / path, content, kernels::Durable::no); !written)
      return written;
  auto card = kernels::read_file(request.source / "README.md");
  if (!card) return std::unexpected(std::move(card).error());
  return kernels::write_file(request.out / "README.md", *card, kernels::Durable::no);
}

}  // namespace

int main(int argc, char** argv) {
  auto request = parse(argc, argv);
  Status done = request ? pack(*request) : Status(std::unexpected(request.error()));
  if (done) return 0;
  std::fprintf(stderr, "error: %s\n", kernels::describe(done.error()).c_str());
  return 1;
}
