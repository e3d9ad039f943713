#include "targets.h"

#include "kernels/ops/lock.h"

namespace kernels::app {

Result<std::vector<Target>> select_targets(const TargetFlags& flags, const Project* project, App& app) {
  static const Project none;
  const auto& from = project != nullptr ? *project : none;
  std::vector<Target> out;
  for (const auto& name : flags.names) {
    auto target = ops::find_target(from, name);
    if (!target) return kernels::fail(std::move(target).error());
    out.push_back(std::move(*target));
  }
  if (flags.all) {
    if (from.targets.empty())
      return kernels::fail(Error(Errc::invalid_argument, "the project has no targets")
                               .with_hint("describe machines in tables such as `[targets.prod]`"));
    for (const auto& [name, target] : from.targets)
      out.push_back(target);
  }
  if (out.empty()) out.push_back(app.machine().target);
  return out;
}

}  // namespace kernels::app
