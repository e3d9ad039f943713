#include <algorithm>

#include "kernels/ops/resolver.h"
#include "kernels/ops/trust.h"

namespace kernels::ops {

static Status check_variant_hashes(const Lock& lock, const LockPins& pins) {
  for (const auto& pin : pins.pins) {
    auto kernel =
        std::ranges::find_if(lock.kernels, [&](const LockedKernel& k) { return k.repo == pin.repo; });
    for (const auto& [name, hash] : pin.variant_hashes) {
      auto variant = std::ranges::find(kernel->variants, name, &LockedVariant::name);
      auto found =
          variant == kernel->variants.end() ? "nothing" : variant_hash(variant->files, "build/" + name);
      if (found != hash)
        return fail(
            Error(Errc::integrity, "the variant `" + name + "` of `" + pin.repo.str() + "` is locked as " +
                                       hash + ", but the Hub lists " + found)
                .with_hint("the bytes of a locked commit never change; find out who changed the lock or "
                           "the listing before you lock again"));
    }
  }
  return {};
}

Result<Resolution> resolve_pins(const hub::Settings& settings, const LockFiles& files, const Project& project,
                                const std::string& user_agent, const std::stop_token& stop) {
  Project pinned;
  pinned.trust = project.trust;
  for (const auto& pin : files.pins.pins) {
    auto requirement = pin.requirement.value_or(Requirement::of_revision(pin.commit.str()));
    pinned.dependencies.push_back({.repo = pin.repo,
                                   .requirement = requirement,
                                   .trust = trusts_repository(project, pin.repo),
                                   .where = {}});
  }
  LockFiles without_sum{.folder = files.folder, .lock_text = {}, .pins = files.pins, .sum = std::nullopt};
  ResolveInputs inputs{.settings = settings,
                       .project = pinned,
                       .previous = &without_sum,
                       .upgrade = {},
                       .locked_only = true,
                       .user_agent = user_agent};
  auto resolution = resolve_project(inputs, stop);
  if (!resolution) return resolution;
  if (auto checked = check_variant_hashes(resolution->lock, files.pins); !checked)
    return fail(std::move(checked).error());
  return resolution;
}

}  // namespace kernels::ops
