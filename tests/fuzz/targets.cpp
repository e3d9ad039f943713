#include "targets.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"
#include "kernels/base/utf8.h"
#include "kernels/bench/workload.h"
#include "kernels/bundle/frame.h"
#include "kernels/bundle/index.h"
#include "kernels/hub/retry.h"
#include "kernels/hub/url.h"
#include "kernels/inspect/gpu_code.h"
#include "kernels/inspect/judge.h"
#include "kernels/inspect/layer_source.h"
#include "kernels/inspect/library.h"
#include "kernels/inspect/module_names.h"
#include "kernels/machine/detect.h"
#include "kernels/model/cuda_releases.h"
#include "kernels/model/hub_answers.h"
#include "kernels/model/lock.h"
#include "kernels/model/metadata.h"
#include "kernels/model/native_layers.h"
#include "kernels/model/project.h"
#include "kernels/model/repo.h"
#include "kernels/model/target.h"
#include "kernels/model/variant.h"
#include "kernels/model/version.h"
#include "kernels/resolve/advice.h"
#include "kernels/resolve/coverage.h"
#include "kernels/resolve/variants.h"

#include "archive_walk.h"
#include "bench_targets.h"
#include "gpu_tables.h"
#include "tar_header.h"
#include "texts.h"
#include "trust_targets.h"
#include "zstd_input.h"

namespace kernels::fuzz {

void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

namespace {

void lock(std::string_view bytes) {
  auto pins = parse_lock(bytes, "kernels.lock");
  if (!pins) return require(!describe(pins.error()).empty(), "an error says something");
  for (const auto& pin : pins->pins)
    require(pin.requirement.has_value() == (pins->form == LockForm::v2), "only v2 has requirements");
}

void sum(std::string_view bytes) {
  auto first = parse_sum(bytes, "kernels.sum");
  if (!first) return;
  auto written = render_sum(first->lock, "x");
  auto second = parse_sum(written, "kernels.sum");
  require(second.has_value(), "what was read can be written and read again");
  require(render_sum(second->lock, "x") == written, "writing is stable");
  diff_locks(first->lock, second->lock);
  render_lock(first->lock, LockForm::v1);
  auto pins = parse_lock(render_lock(first->lock, LockForm::v2), "kernels.lock");
  require(pins.has_value(), "a lock that was written can be read");
}

void project(std::string_view bytes) {
  for (auto format : {ProjectFormat::kernels_toml, ProjectFormat::pyproject}) {
    auto parsed = parse_project(bytes, format, "kernels.toml");
    if (!parsed) require(!parsed.error().text().empty(), "an error says something");
  }
}

void metadata(std::string_view bytes) {
  auto parsed = parse_metadata(bytes, "metadata.json");
  if (!parsed) return require(!parsed.error().text().empty(), "an error says something");
  for (const auto& dependency : parsed->kernel_depends)
    require(!dependency.display().empty(), "a dependency has a name");
  MajorMinor capability{.major = 9, .minor = 0};
  auto covered = resolve::archs_cover(parsed->archs, capability);
  auto is_yes = [&](const std::string& arch) {
    return resolve::arch_covers(arch, capability) == resolve::Covered::yes;
  };
  require((covered == resolve::Covered::yes) == std::ranges::any_of(parsed->archs, is_yes),
          "a GPU is covered by one architecture or by none");
  for (const auto& arch : parsed->archs)
    require(resolve::base_arch(arch).size() <= arch.size(), "the base of an architecture is a part of it");
}

void kernel_status(std::string_view bytes) {
  auto redirect = parse_kernel_status(bytes, "kernel-status.toml");
  if (redirect) require(parse_revision(redirect->revision).has_value(), "a redirect's revision is one");
}

void hub_answers(std::string_view bytes) {
  parse_refs(bytes, "the answer");
  parse_revision_info(bytes, "the answer");
  parse_trusted_publisher(bytes, "the answer");
  auto text = parse_error_body(bytes);
  require(!text || text->size() <= 500, "an error text is short");
  auto page = parse_tree_page(bytes, "the answer");
  if (!page) return;
  if (check_file_set(*page)) {
    std::set<std::string> paths;
    for (const auto& file : *page)
      require(paths.insert(file.path.str()).second, "no path is there twice");
  }
  for (const auto& file : *page) {
    require(file.size <= kMaxFileSize, "a size is bounded");
    require(BlobId::parse(file.blob.str()).has_value(), "a blob has the name of a blob");
  }
}

/// What must hold for every set of variants and every machine.
void decide_all(const std::vector<std::string>& names, const kernels::Target& machine) {
  auto parsed = resolve::parse_variant_names(names);
  require(parsed.valid.size() + parsed.invalid.size() == names.size(), "every name is a variant or is not");
  resolve::VersionVariants version{.version = 1, .name = "v1", .variants = {}};
  for (const auto& variant : parsed.valid)
    version.variants.push_back({.variant = variant});
  auto decisions = resolve::decide(parsed.valid, machine);
  auto is_accepted = [](const resolve::Decision& decision) { return decision.accepted(); };
  require(std::ranges::is_partitioned(decisions, is_accepted), "what fits comes before what does not");
  for (const auto& item : resolve::nearest_changes({version, version}, 0, machine)) {
    require(!item.text.empty(), "advice says something");
    if (item.kind == resolve::Advice::Kind::statement) continue;
    auto changed = resolve::decide(parsed.valid, item.target);
    require(changed.front().accepted() && changed.front().variant.name() == item.variant, "advice is right");
    require(item.target.os == machine.os && item.target.cpu == machine.cpu,
            "nobody is told to buy a machine");
  }
  for (const auto& table : resolve::coverage_of({version}).tables) {
    require(table.cells.size() == table.rows.size(), "a table has its rows");
    for (const auto& row : table.cells)
      require(row.size() == table.columns.size(), "a row has its cells");
  }
}

/// One name a line; of a dozen together, decisions, advice and a table are made.
void variant(std::string_view bytes) {
  std::vector<std::string> names;
  while (!bytes.empty() && names.size() < 12) {
    auto end = std::min(bytes.find('\n'), bytes.size());
    names.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(std::min(bytes.size(), end + 1));
    auto parsed = parse_variant(names.back());
    if (!parsed) continue;
    auto again = parse_variant(parsed->name());
    require(again.has_value() && again->name() == parsed->name(), "a rendered name renders to itself");
    auto meant = resolve::meant_backend(parsed->backend);
    require(meant.tag() == parsed->backend.tag(), "the version that is meant has the same tag");
  }
  kernels::Target machine;
  machine.torch = MajorMinor{.major = 2, .minor = 10};
  machine.cxx11_abi = true;
  machine.backend = {.kind = BackendKind::cuda, .version = MajorMinor{.major = 12, .minor = 8}};
  decide_all(names, machine);
}

void version(std::string_view bytes) {
  auto cut = bytes.find('|');
  auto a = Pep440Version::parse(bytes.substr(0, cut));
  auto set = SpecifierSet::parse(bytes.substr(0, cut));
  auto b = Pep440Version::parse(cut == std::string_view::npos ? bytes : bytes.substr(cut + 1));
  if (a) {
    require(*a == *a, "a version equals itself");
    require(a->without_local() == a->without_local(), "a version equals itself");
  }
  if (a && b) {
    require((*a < *b) == (*b > *a), "the order has two sides");
    require((*a == *b) == (*b == *a), "equality has two sides");
  }
  if (set && b) {
    auto chosen = set->choose({*b});
    require(chosen.has_value() == set->contains(*b), "the only candidate is chosen if it fits");
  }
  MajorMinor::parse(bytes);
  version_branch_number(bytes);
}

void target(std::string_view bytes) {
  auto parsed = parse_target(bytes);
  if (!parsed) return require(!parsed.error().text().empty(), "an error says something");
  require(!parsed->display().empty(), "a target can be shown");
  static const std::vector<std::string> kNames = {
      "torch210-cxx11-cu128-x86_64-linux", "torch-stable-abi29-cu130-x86_64-linux", "torch-npu",
      "tvm-ffi01-cpu-aarch64-linux",       "torch211-metal-aarch64-darwin",         "torch-universal",
      "torch210-xpu20253-x86_64-windows",  "torch210-cxx98-rocm710-x86_64-linux"};
  decide_all(kNames, *parsed);
  decide_all({kNames[0], kNames[3], kNames[7]}, *parsed);
}

void url(std::string_view bytes) {
  auto cut = std::min(bytes.find('\n'), bytes.size());
  auto location = bytes.substr(std::min(bytes.size(), cut + 1));
  hub::display_url(bytes);
  hub::origin_of(bytes);
  for (std::string from : {std::string(bytes.substr(0, cut)), std::string("https://hub.example/a/b?c=d")}) {
    auto to = hub::redirect_target(from, location);
    if (!to) continue;
    auto source = hub::origin_of(from);
    auto destination = hub::origin_of(*to);
    require(destination.has_value(), "a redirect leads to an address");
    require(source->scheme == "http" || destination->scheme == "https", "https never goes down to http");
    require(source->is_loopback() || !destination->is_loopback(), "nothing public leads to this machine");
    require(to->find('#') == std::string::npos, "a fragment is not sent");
    auto plain = hub::check_encryption(*destination, hub::PlainHttp::loopback_only);
    require(plain || (destination->scheme == "http" && !destination->is_loopback()), "https is encrypted");
  }
}

void headers(std::string_view bytes) {
  hub::parse_rate_limit(bytes);
  hub::parse_retry_after(bytes);
  hub::next_link(bytes);
  hub::parse_content_range(bytes);
  hub::ResponseHead head;
  head.status = 429;
  head.headers.emplace("ratelimit", bytes);
  head.headers.emplace("retry-after", bytes);
  auto delay = hub::retry_delay(3, head);
  require(!delay || *delay <= std::chrono::minutes(5), "a wait is bounded");
  require(!delay || *delay >= std::chrono::seconds(1), "there is always a wait");
}

void native_layers(std::string_view bytes) {
  auto read = parse_native_layers(bytes, "layers.toml");
  if (!read) return;
  for (const auto& layer : read->layers) {
    require(read->find(layer.name) == &layer, "a layer is found by its name");
    require(!layer.tolerance.empty(), "a layer has a tolerance");
    for (const auto& name : layer.arguments)
      require(
          layer.parameter(name) != nullptr || layer.member(name) != nullptr || layer.output(name) != nullptr,
          "an argument is defined");
    for (const auto& output : layer.outputs)
      require(output.divide_last > 0 && layer.parameter(output.like) != nullptr, "an output has a model");
    layer.signature();
  }
}

void workloads(std::string_view bytes) {
  auto file = bench::parse_workloads(bytes);
  if (!file) return;
  for (const auto& function : file->functions) {
    for (const auto& argument : function.arguments) {
      require(!argument.below || (argument.dtype && !runtime::is_floating(*argument.dtype)),
              "only whole numbers have a limit");
      require(!argument.tolerance || (argument.dtype && argument.access != bench::Access::read),
              "only what is written has a tolerance");
      for (const auto& work : file->workloads)
        if (auto limit = argument.below ? bench::limit_of(argument, work.sizes) : 1)
          require(*limit >= 1 && *limit <= std::uint64_t{1} << 40, "a limit is one");
    }
    for (const auto& work : file->workloads)
      for (auto type : work.dtypes) {
        const auto moved = bench::bytes_moved(function, work.sizes, type);
        const auto placed = bench::operand_bytes(function, work.sizes, type);
        require(!moved || (placed && *moved <= 2 * *placed), "no more is moved than is there, twice");
      }
  }
}

void gpu_code(std::string_view bytes) {
  MemorySource source{ByteView(bytes)};
  auto code = inspect::read_fat_binary(source);
  if (!code) return require(!code.error().text().empty(), "an error says something");
  std::size_t looked_into = 0;
  for (const auto& container : code->containers) {
    require(container.offset < bytes.size(), "a container lies in the data");
    for (const auto& image : container.images) {
      require(image.payload.offset + image.payload.length <= bytes.size(), "a payload lies in the data");
      // Each may claim to be 16 MiB when it is unpacked.
      if (++looked_into <= 4) (void)inspect::function_names(source, image);
    }
  }
  for (MajorMinor capability : {MajorMinor{8, 0}, MajorMinor{9, 0}, MajorMinor{10, 3}}) {
    auto judgement = inspect::judge_gpu(*code, capability, "580.65.06");
    require(judgement.refused.size() <= judgement.considered, "what is refused was considered");
    require(judgement.considered <= code->containers.size(), "only containers are considered");
  }
  std::array<const inspect::GpuCode*, 1> all = {&*code};
  inspect::compare_archs(inspect::archs_of(*code), all);
}

void library(std::string_view bytes) {
  MemorySource source{ByteView(bytes)};
  auto facts = inspect::read_library(source);
  if (!facts) return require(!facts.error().text().empty(), "an error says something");
  static const auto stable = *parse_variant("torch-stable-abi210-cu130-x86_64-linux");
  static const auto target =
      *parse_target("os=linux,cuda=13.0,torch=2.11,glibc=2.28,glibcxx=3.4.24,driver=580");
  for (const auto& finding : inspect::judge_abi(*facts, stable))
    require(!finding.text.empty() && !finding.rule.empty(), "a finding says something");
  inspect::judge_on_target(*facts, stable, target);
  inspect::manylinux_policy(*facts);
  inspect::judge_gpu(facts->gpu, {.major = 9, .minor = 0}, std::nullopt);
}

void module_names(std::string_view bytes) {
  auto names = inspect::read_module_names(bytes);
  if (!names) return;
  for (const auto& name : names->functions)
    require(!name.starts_with('_'), "only public functions are listed");
  inspect::short_function_name(bytes);
  inspect::is_unstable_torch_name(bytes);
}

void elf(std::string_view bytes) {
  MemorySource source{ByteView(bytes)};
  auto file = read_elf(source);
  if (!file) return require(!file.error().text().empty(), "an error says something");
  constexpr std::array<std::string_view, 2> prefixes{"__tvm_ffi_", "PyInit_"};
  auto exports = exported_symbols(source, *file, prefixes);
  auto all = exported_symbols(source, *file, {});
  if (exports && all)
    require(std::ranges::includes(*all, *exports), "what has a prefix is among all that is exported");
  (void)undefined_symbols(source, *file);
  (void)has_unique_symbols(source, *file);
  for (const auto& section : file->sections)
    require(section.bytes.offset + section.bytes.length <= source.size(), "a section lies in the file");
}

void layer_source(std::string_view bytes) {
  auto source = inspect::read_layer_source(bytes);
  if (!source) return require(!source.error().text().empty(), "an error says something");
  auto names = inspect::layer_names(*source);
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 8); ++i) {
    auto layer = inspect::describe_layer(*source, names[i]);
    require(layer.presence == inspect::LayerPresence::defined, "a class that is listed is there");
    require(layer.extra_members.size() <= 20, "what is listed is short");
    bool silent = !layer.has_backward && !layer.can_torch_compile && !layer.forward;
    require(!source->open || silent, "nothing is claimed of a text that may bind any name");
  }
  auto nowhere = inspect::describe_layer(*source, "no such name");
  require((nowhere.presence == inspect::LayerPresence::elsewhere) == source->open,
          "an open text may hold any name");
}

bool is_short_line(const std::optional<std::string>& text, std::size_t longest) {
  return !text || (text->size() <= longest && text->find('\n') == std::string::npos);
}

/// All readers of the small files that describe a machine: each takes any bytes.
void machine_files(std::string_view bytes) {
  for (const auto& [name, value] : machine::parse_colon_lines(bytes)) {
    require(!name.empty(), "a value has a name");
    require(is_utf8(machine::shown(value)) && machine::shown(value).size() <= 200, "what is shown is text");
  }
  for (const auto& [name, number] : machine::parse_kfd_properties(bytes)) {
    auto arch = machine::gfx_name(number);
    require(arch.has_value() == machine::gfx_capability(number).has_value(),
            "an architecture has a capability");
    require(!arch || (arch->starts_with("gfx") && arch->size() <= 7), "an architecture has a short name");
  }
  machine::parse_os_release(bytes);
  machine::parse_pyvenv_cfg(bytes);
  machine::cxx11_abi_flag(bytes);
  machine::python_constant(bytes, "__version__");
  machine::plist_string(bytes, "ProductVersion");
  require(machine::parse_string_list(bytes).size() <= bytes.size(), "pieces are not empty");
  auto cuda = machine::parse_cuda_version_json(bytes);
  for (const auto& version : {machine::parse_driver_version(bytes), machine::parse_tegra_release(bytes),
                              cuda.toolkit, cuda.runtime, machine::find_dotted(bytes)}) {
    require(is_short_line(version, 32), "a version is short");
    require(!version || MajorMinor::parse(*version).has_value(), "a version has numbers");
    if (version) cuda_of_driver(*version);
    if (version) machine::cuda_of_tegra_release(*version);
  }
  if (auto number = machine::parse_number(bytes)) machine::capability_of_pci_device(*number);
  machine::capability_of_model(bytes);
  machine::capability_of_tegra(bytes);
  machine::memory_of_model(bytes);
  machine::newest_version({std::string(bytes)}, "GLIBC_");
  machine::parse_python_name(bytes);
}

void repo_names(std::string_view bytes) {
  auto path = RepoPath::parse(bytes);
  if (path) {
    auto framed = "/" + path->str() + "/";
    for (const char* bad : {"/../", "/./", "//", "\\"})
      require(framed.find(bad) == std::string::npos, "a path stays inside its folder");
    require(path->str().find('\0') == std::string::npos, "a path has no zero byte");
    require(path->filename().size() <= 255, "a name fits into a folder");
  }
  auto repo = RepoId::parse(bytes);
  if (repo) require(repo->folder().find('/') == std::string::npos, "a repository is one folder");
  auto revision = parse_revision(bytes);
  if (revision) require(RepoPath::parse(*revision).has_value(), "a revision is a path below refs");
  Commit::parse(bytes);
  BlobId::parse(bytes);
}

void bundle_index(std::string_view bytes) {
  auto index = bundle::parse_index(bytes, "`x`");
  if (!index) return;
  require(bundle::render_index(*index) == bytes, "an index that is accepted has one text");
  std::set<std::string> blobs;
  for (const auto& entry : index->entries)
    require(blobs.insert(entry.path).second && RepoPath::parse(entry.path), "each entry once, and inside");
  for (const auto& kernel : index->kernels)
    for (const auto& file : kernel.files)
      require(blobs.contains("blobs/" + file.sha256), "each file has its content");
  require(bundle::archive_bytes(*index, bytes.size()) > index->bytes(), "an archive holds its entries");
}

/// Puts the archive together again.
class Rebuild final : public bundle::EntrySink {
 public:
  Status begin(std::string_view name, std::uint64_t size) override {
    pad();
    auto header = bundle::tar_header(name, size);
    text.append(reinterpret_cast<const char*>(header.data()), header.size());
    left = size;
    return {};
  }
  Status data(std::span<const std::byte> bytes) override {
    require(bytes.size() <= left, "no more content than the header states");
    left -= bytes.size();
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  void pad() {
    require(left == 0, "all the content that the header states");
    text.append(bundle::padding_bytes(text.size()), '\0');
  }
  std::string text;
  std::uint64_t left = 0;
};

/// Pieces of odd length, as they come out of a frame.
class Pieces {
 public:
  explicit Pieces(std::string_view bytes) : rest_(std::as_bytes(std::span(bytes.data(), bytes.size()))) {}
  Result<std::span<const std::byte>> next() {
    auto piece = rest_.first(std::min<std::size_t>(rest_.size(), 700));
    rest_ = rest_.subspan(piece.size());
    return piece;
  }

 private:
  std::span<const std::byte> rest_;
};

void bundle_archive(std::string_view bytes) {
  Pieces pieces(bytes);
  Rebuild rebuilt;
  if (!bundle::walk_archive([&] { return pieces.next(); }, "`x`", rebuilt)) return;
  rebuilt.pad();
  require(rebuilt.text + std::string(bundle::kEndBytes, '\0') == bytes,
          "an archive that is accepted is the one that the writer makes");
}

void bundle_frame(std::string_view bytes) {
  MemorySource source{ByteView(bytes)};
  auto frame = bundle::examine_frame(source, "`x`");
  if (!frame) return;
  require(frame->compressed_bytes == bytes.size(), "a frame is the whole file");
  require(frame->window_bytes <= bundle::kMaxWindowBytes, "a window has a bound");
  require(frame->content_bytes / bundle::kMaxRatio <= bytes.size(), "a ratio has a bound");
  Pieces pieces(bytes);
  bundle::ZstdInput unpacked([&] { return pieces.next(); }, "`x`");
  for (std::uint64_t total = 0;;) {
    auto piece = unpacked.next();
    if (!piece) return;
    total += piece->size();
    require(total <= frame->content_bytes, "no more comes than the frame states");
    if (piece->empty()) return require(total == frame->content_bytes, "all comes that the frame states");
  }
}

constexpr Target kTargets[] = {
    {.name = "lock", .run = lock},
    {.name = "sum", .run = sum},
    {.name = "project", .run = project},
    {.name = "metadata", .run = metadata},
    {.name = "kernel_status", .run = kernel_status},
    {.name = "hub_answers", .run = hub_answers},
    {.name = "variant", .run = variant},
    {.name = "version", .run = version},
    {.name = "target", .run = target},
    {.name = "url", .run = url},
    {.name = "headers", .run = headers},
    {.name = "native_layers", .run = native_layers},
    {.name = "workloads", .run = workloads},
    {.name = "bench_results", .run = bench_results},
    {.name = "script_listing", .run = script_listing},
    {.name = "hand_workload", .run = hand_workload},
    {.name = "torch_schema", .run = torch_schema},
    {.name = "layer_selection", .run = layer_selection},
    {.name = "elf", .run = elf},
    {.name = "gpu_code", .run = gpu_code},
    {.name = "library", .run = library},
    {.name = "module_names", .run = module_names},
    {.name = "machine_files", .run = machine_files},
    {.name = "repo_names", .run = repo_names},
    {.name = "layer_source", .run = layer_source},
    {.name = "sigstore_bundle", .run = sigstore_bundle},
    {.name = "trusted_root", .run = trusted_root},
    {.name = "certificate", .run = certificate},
    {.name = "timestamp", .run = timestamp},
    {.name = "checkpoint", .run = checkpoint},
    {.name = "receipts", .run = receipts},
    {.name = "verification", .run = verification},
    {.name = "bundle_index", .run = bundle_index},
    {.name = "bundle_archive", .run = bundle_archive},
    {.name = "bundle_frame", .run = bundle_frame},
};

}  // namespace

std::span<const Target> targets() {
  return kTargets;
}

}  // namespace kernels::fuzz
