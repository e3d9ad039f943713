#include "inspect_variant.h"

#include <algorithm>
#include <array>
#include <set>

#include "kernels/inspect/layer_source.h"
#include "kernels/inspect/module_names.h"
#include "kernels/model/native_layers.h"

namespace kernels::ops {

namespace {

constexpr std::string_view kMetadata = "metadata.json";
constexpr std::string_view kSignature = "metadata.json.sigstore";
constexpr std::size_t kMaxPythonFiles = 64;
constexpr std::uint64_t kMaxPythonBytes = 1 << 20;

/// Modules whose import means that GPU code is made when a kernel first runs.
constexpr std::array<std::string_view, 8> kCompilers = {"triton", "cutlass", "tilelang", "helion",
                                                        "numba",  "cupy",    "warp",     "nki"};

bool is_library(std::string_view path) {
  auto name = path.substr(path.rfind('/') + 1);
  if (name.find(".so.") != std::string_view::npos) return true;
  constexpr std::array<std::string_view, 10> kEndings = {".so",    ".dylib", ".pyd",   ".dll", ".metallib",
                                                         ".hsaco", ".co",    ".cubin", ".a",   ".fatbin"};
  return std::ranges::any_of(kEndings, [&](std::string_view ending) { return name.ends_with(ending); });
}

/// Where the package's Python text begins: in the variant's folder, or in that of the older layout.
std::string package_folder(const VariantContent& content, const std::string& module) {
  if (content.find("__init__.py") != nullptr || module.empty()) return {};
  return content.find(module + "/__init__.py") != nullptr ? module + "/" : std::string();
}

/// Bounds what is unpacked for names: a small file can claim a great deal.
class UnpackBudget {
 public:
  explicit UnpackBudget(std::uint64_t most_unpacked) : most_unpacked_(most_unpacked) {}

  bool allows(const inspect::GpuImage& image) {
    if (image.compression != inspect::Compression::none) unpacked_ += image.uncompressed_size;
    return unpacked_ <= most_unpacked_ && name_bytes_ <= kMostNameBytes;
  }
  void take(const std::vector<std::string>& names) {
    for (const auto& name : names)
      name_bytes_ += name.size() + sizeof(std::string);
  }

 private:
  static constexpr std::uint64_t kMostNameBytes = 8ULL << 20;
  std::uint64_t most_unpacked_;
  std::uint64_t unpacked_ = 0;
  std::uint64_t name_bytes_ = 0;
};

class Inspector {
 public:
  Inspector(VariantContent& content, const std::string& module, InspectedVariant& out)
      : content_(content), package_(package_folder(content, module)), out_(out) {}

  void run(WithFunctions functions) {
    plan();
    content_.announce(texts_);
    metadata();
    python();
    layers();
    for (const auto& file : content_.files())
      if (is_library(file.path) || out_.name.empty()) library(file, functions);
    compare();
  }

 private:
  void plan() {
    out_.is_signed = content_.find(kSignature) != nullptr;
    std::uint64_t bytes = 0;
    for (const auto& file : content_.files()) {
      ++out_.files;
      out_.bytes += file.size;
      bool wanted = file.path == kMetadata || file.path == kSignature || file.path == "layers.toml";
      if (file.path.ends_with(".py") && python_.size() < kMaxPythonFiles &&
          bytes + file.size <= kMaxPythonBytes) {
        bytes += file.size;
        python_.push_back(file.path);
        wanted = true;
      }
      if (wanted) texts_.push_back(file.path);
    }
  }

  void metadata() {
    if (content_.find(kMetadata) == nullptr) return;
    auto text = content_.text(std::string(kMetadata));
    auto parsed = text ? parse_metadata(*text, "`" + std::string(kMetadata) + "`")
                       : Result<Metadata>(std::unexpected(text.error()));
    if (parsed)
      out_.metadata = std::move(*parsed);
    else
      out_.metadata_failure = parsed.error().text();
  }

  void python() {
    std::set<std::string> compilers;
    for (const auto& path : python_) {
      auto text = content_.text(path);
      auto names = text ? inspect::read_module_names(*text)
                        : Result<inspect::ModuleNames>(std::unexpected(text.error()));
      if (!names) {
        if (path == package_ + "__init__.py") unread(path, names.error());
        continue;
      }
      for (auto compiler : kCompilers)
        if (std::ranges::binary_search(names->modules, compiler)) compilers.emplace(compiler);
      if (path == package_ + "__init__.py") out_.python_functions = public_names(*names);
    }
    out_.run_time_compilers.assign(compilers.begin(), compilers.end());
  }

  static std::vector<std::string> public_names(const inspect::ModuleNames& names) {
    auto out = names.all.value_or(names.functions);
    std::erase_if(out, [](const std::string& name) { return name == "layers"; });
    return out;
  }

  void unread(const std::string& path, const Error& error) {
    out_.findings.push_back({.weight = inspect::Weight::warning,
                             .rule = "text",
                             .text = "`" + path + "` cannot be read: " + error.text(),
                             .hint = {}});
  }

  InspectedLayer& layer(const std::string& name) {
    auto found = std::ranges::find(out_.layers, name, &InspectedLayer::name);
    if (found != out_.layers.end()) return *found;
    return out_.layers.emplace_back(InspectedLayer{.name = name,
                                                   .has_backward = std::nullopt,
                                                   .can_torch_compile = std::nullopt,
                                                   .forward = std::nullopt});
  }

  void layers() {
    for (const auto* path : {"layers/__init__.py", "layers.py"})
      if (content_.find(package_ + path) != nullptr) {
        python_layers(package_ + path);
        break;  // a package goes before a module
      }
    if (content_.find("layers.toml") != nullptr) native_layers();
  }

  void python_layers(const std::string& path) {
    auto text = content_.text(path);
    auto source = text ? inspect::read_layer_source(*text)
                       : Result<inspect::LayerSource>(std::unexpected(text.error()));
    if (!source) return unread(path, source.error());
    for (const auto& name : inspect::layer_names(*source)) {
      auto described = inspect::describe_layer(*source, name);
      auto& item = layer(name);
      item.in_python = true;
      item.has_backward = described.has_backward;
      item.can_torch_compile = described.can_torch_compile;
      if (described.forward) item.forward = inspect::names_of(*described.forward);
    }
  }

  void native_layers() {
    auto text = content_.text("layers.toml");
    auto declared = text ? parse_native_layers(*text, "`layers.toml`")
                         : Result<NativeLayers>(std::unexpected(text.error()));
    if (!declared) return unread("layers.toml", declared.error());
    for (const auto& native : declared->layers) {
      auto& item = layer(native.name);
      item.in_native = true;
      if (item.in_python) continue;
      item.has_backward = native.has_backward;
      item.can_torch_compile = native.can_torch_compile;
      item.forward = std::vector<std::string>{"self"};
      for (const auto& value : native.forward)
        item.forward->push_back(value.name);
    }
  }

  void library(const ContentFile& file, WithFunctions functions) {
    auto& item = out_.libraries.emplace_back(InspectedLibrary{.path = file.path,
                                                              .size = file.size,
                                                              .facts = std::nullopt,
                                                              .failure = {},
                                                              .policy = {},
                                                              .findings = {},
                                                              .functions = {}});
    auto source = content_.open(file.path);
    auto facts = source ? inspect::read_library(**source)
                        : Result<inspect::LibraryFacts>(std::unexpected(source.error()));
    if (!facts) {
      item.failure = facts.error().text();
      return;
    }
    item.facts = std::move(*facts);
    item.policy = inspect::manylinux_policy(*item.facts);
    item.findings = inspect::judge_abi(*item.facts, out_.variant);
    if (functions == WithFunctions::yes) list_functions(**source, item);
  }

  /// Every image of a container has the same functions; the first that can be read is enough.
  void list_functions(ByteSource& source, InspectedLibrary& item) {
    UnpackBudget budget(256ULL << 20);
    std::size_t passed_over = 0;
    for (const auto& container : item.facts->gpu.containers) {
      auto& names = item.functions.emplace_back();
      for (const auto& image : container.images) {
        if (!budget.allows(image)) {
          ++passed_over;
          break;
        }
        auto found = inspect::function_names(source, image);
        if (!found || found->empty()) continue;
        budget.take(*found);
        names = std::move(*found);
        break;
      }
    }
    if (passed_over > 0)
      item.findings.push_back({.weight = inspect::Weight::note,
                               .rule = "functions",
                               .text = "the functions of " + std::to_string(passed_over) +
                                       " containers were not listed: there is too much to unpack",
                               .hint = {}});
  }

  void compare() {
    if (!out_.metadata || out_.metadata->backend != "cuda") return;
    std::vector<const inspect::GpuCode*> code;
    for (const auto& library : out_.libraries)
      if (library.facts) code.push_back(&library.facts->gpu);
    for (auto& finding : inspect::compare_archs(out_.metadata->archs, code))
      out_.findings.push_back(std::move(finding));
  }

  VariantContent& content_;
  std::string package_;
  InspectedVariant& out_;
  std::vector<std::string> texts_;
  std::vector<std::string> python_;
};

}  // namespace

std::string module_of(const RepoId& repo) {
  std::string module = repo.str().substr(repo.str().find('/') + 1);
  std::ranges::replace(module, '-', '_');
  return module;
}

bool InspectedVariant::has_gpu_code() const {
  return std::ranges::any_of(libraries, [](const InspectedLibrary& library) {
    return library.facts && (!library.facts->gpu.containers.empty() || !library.facts->gpu.foreign.empty());
  });
}

InspectedVariant inspect_variant(VariantContent& content, const std::string& folder_name,
                                 const std::string& module, WithFunctions functions) {
  InspectedVariant out;
  out.name = folder_name;
  if (auto variant = parse_variant(folder_name); variant && variant->name() == folder_name)
    out.variant = std::move(*variant);
  Inspector(content, module, out).run(functions);
  return out;
}

std::vector<std::string> functions_in(VariantContent& content, const InspectedLibrary& library,
                                      const std::vector<std::size_t>& containers, std::size_t limit,
                                      std::uint64_t max_bytes) {
  std::vector<std::string> out;
  auto source = content.open(library.path);
  if (!source || !library.facts) return out;
  UnpackBudget budget(64ULL << 20);
  for (auto index : containers)
    for (const auto& image : library.facts->gpu.containers[index].images) {
      if (out.size() >= limit || !budget.allows(image)) return out;
      if (image.payload.length > max_bytes) continue;
      auto names = inspect::function_names(**source, image);
      if (!names || names->empty()) continue;
      budget.take(*names);
      for (const auto& name : *names) {
        auto shown = inspect::short_function_name(name);
        if (out.size() < limit && std::ranges::find(out, shown) == out.end()) out.push_back(std::move(shown));
      }
      break;
    }
  return out;
}

}  // namespace kernels::ops
