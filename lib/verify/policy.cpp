#include "kernels/verify/verify.h"

namespace kernels::verify {

namespace {

constexpr std::string_view kHost = "https://github.com/";
constexpr std::string_view kFolder = "/.github/workflows/";

Error not_a_workflow(std::string_view text) {
  return Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a workflow of GitHub Actions")
      .with_hint("write `https://github.com/<owner>/<name>/.github/workflows/<file>@refs/heads/<branch>`");
}

/// A name of a repository or file: something, and nothing that could end it early.
bool is_name(std::string_view text) {
  constexpr std::string_view kGood = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  return !text.empty() && text.find_first_not_of(kGood) == std::string_view::npos;
}

void append(std::string& out, std::string_view text) {
  out += std::to_string(text.size()) + ":" + std::string(text) + ",";
}

}  // namespace

Policy default_policy() {
  const std::string repository = "https://github.com/huggingface/kernels-community";
  WorkflowSigner signer{.source_repository = repository, .workflows = {}};
  for (const char* file : {"build", "build-mac", "build-windows", "sign-old-builds"})
    signer.workflows.push_back(repository + std::string(kFolder) + file + ".yaml@refs/heads/main");
  return {signer};
}

Result<WorkflowSigner> parse_workflow_signer(std::string_view text) {
  auto folder = text.find(kFolder);
  auto at = text.find('@');
  if (!text.starts_with(kHost) || folder == std::string_view::npos || at == std::string_view::npos ||
      at < folder)
    return fail(not_a_workflow(text));
  auto repository = text.substr(kHost.size(), folder - kHost.size());
  auto file = text.substr(folder + kFolder.size(), at - folder - kFolder.size());
  auto ref = text.substr(at + 1);
  auto slash = repository.find('/');
  if (slash == std::string_view::npos || !is_name(repository.substr(0, slash)) ||
      !is_name(repository.substr(slash + 1)) || !is_name(file) || !ref.starts_with("refs/"))
    return fail(not_a_workflow(text));
  return WorkflowSigner{.source_repository = std::string(text.substr(0, folder)),
                        .workflows = {std::string(text)}};
}

std::string fingerprint(const Policy& policy) {
  std::string out;
  for (const auto& signer : policy) {
    if (const auto* named = std::get_if<NamedSigner>(&signer)) {
      out += "named ";
      append(out, named->issuer);
      append(out, named->name);
    } else {
      const auto& workflow = std::get<WorkflowSigner>(signer);
      out += "workflow ";
      append(out, workflow.source_repository);
      for (const auto& one : workflow.workflows)
        append(out, one);
    }
    out += ";";
  }
  return out;
}

}  // namespace kernels::verify
