#include "revision_flags.h"

#include <charconv>

#include "kernels/model/repo.h"

namespace kernels::app {

void add_revision_flags(CLI::App& command, RevisionFlags& flags) {
  auto* version = command.add_option("--version", flags.version, "Version N, or `latest` (default)")
                      ->type_name("N|latest");
  command.add_option("--revision", flags.revision, "A branch, tag or commit")
      ->type_name("R")
      ->excludes(version);
}

Result<ops::RevisionChoice> to_choice(const RevisionFlags& flags) {
  using Kind = ops::RevisionChoice::Kind;
  ops::RevisionChoice choice;
  if (flags.revision) {
    auto revision = parse_revision(*flags.revision);
    if (!revision) return fail(std::move(revision).error());
    return ops::RevisionChoice{.kind = Kind::revision, .version = 0, .revision = *revision};
  }
  if (!flags.version || *flags.version == "latest") return choice;
  choice.kind = Kind::version;
  const auto& text = *flags.version;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), choice.version);
  if (code != std::errc() || end != text.data() + text.size())
    return fail(Error(Errc::invalid_argument, "`" + text + "` is not a version")
                    .with_hint("write a number or `latest`"));
  return choice;
}

}  // namespace kernels::app
