#include <chrono>

#include "kernels/ops/bundle.h"
#include "kernels/ops/download.h"
#include "kernels/ops/project_files.h"
#include "kernels/ops/resolver.h"
#include "kernels/ops/trust.h"

#include "commands.h"
#include "targets.h"
#include "trust_flags.h"
#include "view_download.h"

namespace kernels::app {

namespace {

struct DownloadOptions {
  std::string folder = ".";
  TargetFlags targets;
  std::vector<std::string> variants;
  TrustFlags trust;
  bool all_variants = false;
  bool dry_run = false;
  bool json = false;
  std::size_t jobs = 64;
  std::optional<std::string> bundle;
};

/// The lock with its files; from the Hub where only `kernels.lock` exists.
Result<Lock> complete_lock(const ops::LockFiles& files, const Project& project, const hub::Settings& settings,
                           App& app) {
  if (files.sum) return *files.sum;
  app.out().warning(
      "there is no `kernels.sum`: the listings are asked from the Hub; `kernels lock` writes one");
  if (settings.offline)
    return kernels::fail(
        Error(Errc::network, "offline, but without `kernels.sum` the Hub must be asked for listings")
            .with_hint("run `kernels lock` while online"));
  auto resolution = ops::resolve_pins(settings, files, project, app.user_agent(), app.stop_token());
  if (!resolution) return kernels::fail(std::move(resolution).error());
  for (const auto& warning : resolution->warnings)
    app.out().warning(warning);
  return std::move(resolution->lock);
}

Result<ops::VariantChoice> to_choice(const DownloadOptions& options, const Project& project, App& app) {
  using Kind = ops::VariantChoice::Kind;
  if (options.all_variants) return ops::VariantChoice{.kind = Kind::all, .targets = {}, .names = {}};
  if (!options.variants.empty())
    return ops::VariantChoice{.kind = Kind::named, .targets = {}, .names = options.variants};
  auto targets = select_targets(options.targets, &project, app);
  if (!targets) return kernels::fail(std::move(targets).error());
  return ops::VariantChoice{.kind = Kind::best_for_targets, .targets = std::move(*targets), .names = {}};
}

/// Kernels for which the choice found nothing; false if there are any.
bool show_gaps(const std::vector<ops::KernelChoice>& choices, App& app) {
  bool good = true;
  for (const auto& choice : choices) {
    if (!choice.variants.empty() && choice.unknown.empty()) continue;
    app.out().error(no_variant_error(choice));
    good = false;
  }
  return good;
}

/// `--bundle`: what is in the cache by now, as one file. Nothing if it was not asked for.
Result<std::optional<bundle::PackReport>> pack(const DownloadOptions& options, const cache::Layout& layout,
                                               const ops::DownloadPlan& plan, const ops::BundleTexts& texts,
                                               App& app) {
  if (!options.bundle) return std::nullopt;
  auto packed = ops::pack_bundle(layout, plan, texts, *options.bundle, app.stop_token());
  if (!packed) return kernels::fail(std::move(packed).error());
  return std::move(*packed);
}

ExitCode transfer(const DownloadOptions& options, const hub::Settings& settings,
                  const ops::SignatureRules& rules, const std::vector<ops::KernelChoice>& choices,
                  const ops::BundleTexts& texts, App& app) {
  auto begin = std::chrono::steady_clock::now();
  cache::Layout layout(settings.cache, settings.state);
  auto plan = ops::plan_download(layout, choices);
  if (options.dry_run) {
    app.out().result(options.json ? plan_json(plan) : plan_text(plan));
    return ExitCode::ok;
  }
  ops::DownloadOptions how{.settings = settings,
                           .user_agent = app.user_agent(),
                           .jobs = options.jobs,
                           .links = settings.use_symlinks ? cache::Links::symlinks : cache::Links::copies,
                           .signatures = rules};
  auto report = ops::download(layout, plan, how, app.events(), app.stop_token());
  if (!report) return app.fail(report.error());
  auto packed = pack(options, layout, plan, texts, app);
  if (!packed) return app.fail(packed.error());
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  app.out().result(options.json ? download_json(plan, *report, *packed)
                                : download_text(plan, *report, took) +
                                      (*packed ? bundle_text(**packed, *options.bundle) : std::string()));
  return ExitCode::ok;
}

ExitCode run_download(const DownloadOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto files = ops::load_lock_files(options.folder);
  if (!files) return app.fail(files.error());
  if (!*files)
    return app.fail(Error(Errc::invalid_argument, "there is no `kernels.lock` in `" + options.folder + "`")
                        .with_hint("run `kernels lock " + options.folder + "` first"));
  // A lock can be downloaded where its project file is not, as in an image build.
  auto found = ops::find_project(options.folder);
  if (!found) return app.fail(found.error());
  auto project = found->value_or(Project{});
  auto lock = complete_lock(**files, project, *settings, app);
  if (!lock) return app.fail(lock.error());
  if (auto trusted = ops::check_trust(*lock, &project); !trusted) return app.fail(trusted.error());
  auto rules = signature_rules(options.trust, project.trust);
  if (!rules) return app.fail(rules.error());
  auto choice = to_choice(options, project, app);
  if (!choice) return app.fail(choice.error());
  auto choices = ops::choose_variants(*lock, *choice);
  if (!show_gaps(choices, app)) return ExitCode::no;
  ops::BundleTexts texts{.lock = (*files)->lock_text,
                         .sum = options.bundle ? render_sum(*lock, (*files)->lock_text) : std::string(),
                         .trusted_root = std::string(rules->root_text())};
  return transfer(options, *settings, *rules, choices, texts, app);
}

}  // namespace

Command add_download(CLI::App& root) {
  auto options = std::make_shared<DownloadOptions>();
  auto* command = new_command(root, "download", "Fetch what the lock names into the cache",
                              "  kernels download\n"
                              "  kernels download --target prod\n"
                              "  kernels download --all-variants --jobs 16\n"
                              "  kernels download --all-variants --bundle kernels.tar.zst\n");
  command->add_option("project_dir", options->folder, "Folder of the project")
      ->type_name("DIR")
      ->capture_default_str();
  auto* all = command->add_flag("--all-variants", options->all_variants, "Every variant of every kernel");
  auto* named =
      command->add_option("--variant", options->variants, "Variants by name")->type_name("V")->excludes(all);
  command
      ->add_option("--target", options->targets.names,
                   "The variants for this target: a name in the project file, or key=value,…; may be given "
                   "several times")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->excludes(all)
      ->excludes(named);
  command->add_flag("--all-targets", options->targets.all, "The variants for all targets of the project file")
      ->excludes(all)
      ->excludes(named);
  add_trust_flags(*command, options->trust);
  auto* dry = command->add_flag("--dry-run", options->dry_run, "Fetch nothing; say what would be fetched");
  command
      ->add_option("--bundle", options->bundle,
                   "Then pack everything that was asked for into one file, for `kernels import` on a machine "
                   "without a network")
      ->type_name("FILE.tar.zst")
      ->excludes(dry);
  command->add_option("--jobs", options->jobs, "Connections at most")
      ->type_name("N")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_download(*options, app); }};
}

}  // namespace kernels::app
