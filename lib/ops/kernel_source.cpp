#include "kernels/ops/kernel_source.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include <dlfcn.h>

#include "kernels/cache/layout.h"
#include "kernels/machine/detect.h"
#include "kernels/ops/download.h"
#include "kernels/ops/project_files.h"
#include "kernels/ops/resolver.h"
#include "kernels/ops/trust.h"
#include "kernels/resolve/variants.h"

#include "variant_content.h"
#include "variant_signature.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

/// A repository of the Hub as it was asked for.
struct HubRequest {
  RepoId repo;
  Requirement requirement;
  bool trust = false;
};

template <class R>
Result<HubRequest> to_request(const R& repository) {
  auto repo = RepoId::parse(repository.repo_id);
  if (!repo) return fail(std::move(repo).error());
  auto requirement = Requirement::of_revision(repository.revision.empty() ? "main" : repository.revision);
  if (repository.version.is_number()) {
    requirement = Requirement::of_version(std::strtoull(repository.version.text().c_str(), nullptr, 10));
  } else if (repository.version.given()) {
    auto set = SpecifierSet::parse(repository.version.text());
    if (!set) return fail(std::move(set).error());
    requirement = Requirement::of_specifier(std::move(*set));
  }
  return HubRequest{
      .repo = *repo, .requirement = std::move(requirement), .trust = repository.trust_remote_code};
}

std::optional<BackendKind> backend_of(DeviceType device) {
  switch (device) {
    case DeviceType::cpu:
      return BackendKind::cpu;
    case DeviceType::cuda:
      return BackendKind::cuda;
    default:
      return std::nullopt;
  }
}

Error nothing_fits(const std::vector<resolve::Decision>& decisions, const Target& target) {
  std::string text = "no variant that C++ can load fits " + target.display();
  for (const auto& decision : decisions)
    text += "\n  " + decision.variant.name() + ": " + decision.reason;
  return Error(Errc::no_match, text)
      .with_hint("C++ loads tvm-ffi variants; `kernels variants` lists what a repository has");
}

/// The preferred one of those that C++ can load.
Result<std::string> choose(const std::vector<std::string>& names, const Target& target) {
  auto parsed = resolve::parse_variant_names(names);
  std::erase_if(parsed.valid, [](const Variant& variant) { return variant.framework != Framework::tvm_ffi; });
  auto decisions = resolve::decide(parsed.valid, target);
  if (decisions.empty() || !decisions.front().accepted()) return fail(nothing_fits(decisions, target));
  return decisions.front().variant.name();
}

class HubKernelSource final : public layers::KernelSource {
 public:
  explicit HubKernelSource(KernelSourceOptions options)
      : options_(std::move(options)), layout_(options_.settings.cache, options_.settings.state) {}

  Result<layers::LocatedKernel> locate(const layers::Repository& repository, DeviceType device) override {
    auto target = target_for(device);
    if (!target) return fail(std::move(target).error());
    return std::visit([&](const auto& each) { return find(each, *target); }, repository);
  }

  std::optional<std::uint32_t> capability(DeviceType device) override {
    const auto& machine = this_machine();
    auto backend = backend_of(device);
    if (!backend || machine.backend.kind != *backend || machine.capabilities.empty()) return std::nullopt;
    const auto& first = machine.capabilities.front();
    return first.major * 10 + first.minor;
  }

 private:
  const Target& this_machine() {
    if (!options_.target) {
      options_.target = machine::detect(hub::process_environment()).target;
      options_.target->free_threaded_python = false;  // no Python takes part in this process
    }
    return *options_.target;
  }

  Result<Target> target_for(DeviceType device) {
    auto backend = backend_of(device);
    if (!backend)
      return fail(Errc::unsupported,
                  "kernels for the device `" + to_string(device) + "` cannot be loaded from C++");
    auto target = this_machine();
    if (target.backend.kind == *backend) return target;
    // A machine with a GPU runs kernels for the CPU too.
    if (*backend != BackendKind::cpu)
      return fail(Error(Errc::no_match, "this machine has no device `" + to_string(device) + "`")
                      .with_hint("`kernels check` says what was found here"));
    target.backend = {};
    target.capabilities.clear();
    return target;
  }

  layers::LocatedKernel located(fs::path folder, std::string variant, std::string revision) const {
    return {.folder = std::move(folder),
            .provider = options_.provider,
            .variant = std::move(variant),
            .revision = std::move(revision)};
  }

  template <class R>
    requires requires(const R& r) { r.version; }
  Result<layers::LocatedKernel> find(const R& repository, const Target& target) {
    auto request = to_request(repository);
    if (!request) return fail(std::move(request).error());
    if (options_.settings.offline) return find_offline(*request, target);
    Project project;
    project.dependencies.push_back(
        {.repo = request->repo, .requirement = request->requirement, .trust = request->trust, .where = {}});
    auto resolved = resolve_project({.settings = options_.settings,
                                     .project = project,
                                     .previous = nullptr,
                                     .upgrade = {},
                                     .locked_only = false,
                                     .user_agent = options_.user_agent},
                                    {});
    if (!resolved) return fail(std::move(resolved).error());
    for (const auto& warning : resolved->warnings)
      options_.events(Warning{warning});
    auto direct = std::ranges::find(resolved->lock.kernels, true, &LockedKernel::direct);
    return fetch(*direct, target, {});
  }

  template <class R>
    requires requires(const R& r) { r.lockfile; }
  Result<layers::LocatedKernel> find(const R& repository, const Target& target) {
    auto files = load_lock_files(repository.lockfile.parent_path());
    if (!files) return fail(std::move(files).error());
    if (repository.lockfile.filename() != "kernels.lock" || !*files || !(*files)->sum)
      return fail(Error(Errc::not_found, "there is no `kernels.lock` with a `kernels.sum` at `" +
                                             repository.lockfile.string() + "`")
                      .with_hint("run `kernels lock` in the project"));
    const LockedKernel* found = nullptr;
    for (const auto& kernel : (*files)->sum->kernels)
      if (found == nullptr && is_asked_for(kernel, repository)) found = &kernel;
    if (found == nullptr)
      return fail(Error(Errc::not_found, "`" + repository.repo_id + "` is not locked in `" +
                                             repository.lockfile.string() + "`")
                      .with_hint("add it to the project and run `kernels lock`"));
    auto project = find_project(repository.lockfile.parent_path());
    if (!project) return fail(std::move(project).error());
    auto trust = judge_trust(*found, *project ? &**project : nullptr);
    if (!trust.holds) return fail(Error(Errc::untrusted, trust.text).with_hint(trust.hint));
    return fetch(*found, target, *project ? (*project)->trust : TrustSettings{});
  }

  template <class R>
  static bool is_asked_for(const LockedKernel& kernel, const R& repository) {
    bool same = kernel.repo.str() == repository.repo_id ||
                (kernel.asked_for && kernel.asked_for->str() == repository.repo_id);
    if constexpr (requires { repository.commit; })
      return same && (repository.commit.empty() || kernel.commit.str() == repository.commit);
    else
      return same;
  }

  template <class R>
    requires requires(const R& r) { r.repo_path; }
  Result<layers::LocatedKernel> find(const R& repository, const Target& target) {
    std::error_code code;
    const auto& path = repository.repo_path;
    if (fs::is_regular_file(path / "layers.toml", code)) return located(path, path.filename().string(), "");
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path / "build", code))
      names.push_back(entry.path().filename().string());
    if (code)
      return fail(Error(Errc::not_found, "`" + path.string() +
                                             "` is neither a variant with `layers.toml` nor a folder "
                                             "with `build/`"));
    auto name = choose(names, target);
    if (!name) return fail(std::move(name).error());
    return located(path / "build" / *name, *name, "");
  }

  /// Fetches the variant that fits, verified against the listing or the lock.
  Result<layers::LocatedKernel> fetch(const LockedKernel& kernel, const Target& target,
                                      const TrustSettings& trust) {
    auto asked = options_.signatures;
    asked.policies.push_back(trust.signatures);
    asked.signers.insert(asked.signers.end(), trust.signers.begin(), trust.signers.end());
    auto rules = SignatureRules::make(asked);
    if (!rules) return fail(std::move(rules).error());
    std::vector<std::string> names;
    for (const auto& variant : kernel.variants)
      names.push_back(variant.name);
    auto name = choose(names, target);
    if (!name) return fail(std::move(name).error());
    KernelChoice choice;
    choice.kernel = &kernel;
    choice.variants = {*name};
    auto plan = plan_download(layout_, {choice});
    DownloadOptions how{
        .settings = options_.settings,
        .user_agent = options_.user_agent,
        .links = options_.settings.use_symlinks ? cache::Links::symlinks : cache::Links::copies,
        .signatures = *rules};
    if (auto done = download(layout_, plan, how, options_.events, {}); !done)
      return fail(std::move(done).error());
    return located(layout_.snapshot(kernel.repo, kernel.commit) / "build" / *name, *name,
                   kernel.commit.str());
  }

  /// What the cache has under the name that was asked for. Its files were verified when they came.
  Result<layers::LocatedKernel> find_offline(const HubRequest& request, const Target& target) {
    if (request.requirement.specifier() != nullptr)
      return fail(Error(Errc::network, "offline, a specifier such as `" + request.requirement.display() +
                                           "` cannot be resolved")
                      .with_hint("name a version or a commit, or lock the project and use its lock"));
    const auto* number = request.requirement.version();
    auto revision = number != nullptr ? "v" + std::to_string(*number) : *request.requirement.revision();
    auto commit = cache::read_ref(layout_, request.repo, revision);
    if (auto direct = Commit::parse(revision)) commit = *direct;
    auto missing = [&] {
      return fail(Error(Errc::network, "offline, and `" + request.repo.str() + "` (" +
                                           request.requirement.display() + ") is not in the cache")
                      .with_hint("unset `HF_HUB_OFFLINE`, or run `kernels download` while online"));
    };
    if (!commit) return missing();
    auto build = layout_.snapshot(request.repo, *commit) / "build";
    std::vector<std::string> names;
    std::error_code code;
    for (const auto& entry : fs::directory_iterator(build, code))
      names.push_back(entry.path().filename().string());
    if (code) return missing();
    auto name = choose(names, target);
    if (!name) return fail(std::move(name).error());
    if (auto good = require_signature(request.repo, *commit, build / *name, *name); !good)
      return fail(std::move(good).error());
    return located(build / *name, *name, commit->str());
  }

  /// Offline there is no lock that says what was verified when it came.
  Status require_signature(const RepoId& repo, const Commit& commit, const fs::path& folder,
                           const std::string& variant) const {
    auto rules = SignatureRules::make(options_.signatures);
    if (!rules) return fail(std::move(rules).error());
    if (rules->policy() != SignaturePolicy::require) return {};
    auto content = folder_content(folder);
    if (!content) return fail(std::move(content).error());
    VariantSignature signature{.repo = repo, .commit = commit, .variant = variant, .result = {}};
    signature.result = verify_variant(**content, *rules, WithDigest::yes);
    if (!signature.is_good()) return fail(signature_error(signature));
    return {};
  }

  KernelSourceOptions options_;
  cache::Layout layout_;
};

/// Beside the program or the library that holds this code, or where an installation puts it.
std::optional<fs::path> find_provider(const hub::Environment& environment) {
  if (auto named = environment("KERNELS_TVM_FFI")) return fs::path(*named);
  Dl_info own{};
  std::vector<fs::path> folders;
  std::error_code code;
  folders.push_back(fs::read_symlink("/proc/self/exe", code).parent_path());
  if (::dladdr(reinterpret_cast<const void*>(&find_provider), &own) != 0)
    folders.push_back(fs::absolute(own.dli_fname, code).parent_path());
  for (const auto& folder : folders)
    for (const char* place : {"lib/kernels", "../lib/kernels", "../lib64/kernels", "kernels", "."})
      if (auto path = folder / place / "libtvm_ffi.so"; fs::is_regular_file(path, code))
        return path.lexically_normal();
  if (auto path = fs::path(KERNELS_PROVIDER_FOLDER) / "libtvm_ffi.so"; fs::is_regular_file(path, code))
    return path;
  return std::nullopt;
}

}  // namespace

std::shared_ptr<layers::KernelSource> hub_kernel_source(KernelSourceOptions options) {
  return std::make_shared<HubKernelSource>(std::move(options));
}

Result<std::shared_ptr<layers::KernelSource>> hub_kernel_source() {
  auto environment = hub::process_environment();
  auto settings = hub::read_settings(environment);
  if (!settings) return fail(std::move(settings).error());
  auto provider = find_provider(environment);
  if (!provider)
    return fail(Error(Errc::not_found, "`libtvm_ffi.so` is neither beside this program nor installed")
                    .with_hint("name it in `KERNELS_TVM_FFI`"));
  KernelSourceOptions options{.settings = std::move(*settings), .provider = std::move(*provider)};
  if (auto asked = environment("KERNELS_SIGNATURES"); asked && !asked->empty()) {
    auto policy = parse_signature_policy(*asked);
    if (!policy)
      return fail(
          std::move(policy).error().while_doing("reading the environment variable KERNELS_SIGNATURES"));
    options.signatures.policies = {*policy};
  }
  return hub_kernel_source(std::move(options));
}

Result<layers::KernelMapping> load_kernel_mapping(const fs::path& folder) {
  auto files = load_lock_files(folder);
  if (!files) return fail(std::move(files).error());
  if (!*files || !(*files)->sum)
    return fail(
        Error(Errc::not_found, "there is no `kernels.lock` with a `kernels.sum` in `" + folder.string() + "`")
            .with_hint("run `kernels lock` there"));
  return layers::mapping_from_lock(*(*files)->sum, folder / "kernels.lock");
}

}  // namespace kernels::ops
