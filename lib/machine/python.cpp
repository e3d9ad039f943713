#include "python.h"

#include <algorithm>
#include <map>

namespace kernels::machine {

namespace fs = std::filesystem;

namespace {

/// Where programs are looked for on a machine whose variables are not known.
constexpr const char* kUsualPath =
    "/opt/homebrew/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/conda/bin";

std::vector<fs::path> split_path(const std::string& text) {
  std::vector<fs::path> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    auto end = std::min(text.find(':', begin), text.size());
    if (end > begin) out.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

std::string first_line(const std::string& text) {
  return text.substr(0, std::min(text.find_first_of("\r\n"), text.size()));
}

class EnvironmentFinder {
 public:
  explicit EnvironmentFinder(const Findings& findings)
      : findings_(findings), files_(findings.sysroot), environment_(findings.environment) {}

  std::optional<PythonEnvironment> find(const std::optional<fs::path>& interpreter) {
    if (!locate(interpreter)) return std::nullopt;
    read_configuration();
    find_version();
    if (is_virtual_)
      add_virtual_sites();
    else
      add_installed_sites();
    out_.kind = is_virtual_ ? "virtual environment" : is_conda() ? "conda" : "installation";
    return std::move(out_);
  }

 private:
  bool locate(const std::optional<fs::path>& interpreter) {
    if (interpreter) {
      out_.chosen_by = "--python";
      if (files_.is_folder(*interpreter)) {
        out_.prefix = *interpreter;
        if (auto own = out_.prefix / "bin/python3"; files_.is_file(own)) out_.executable = own;
      } else if (files_.is_file(*interpreter))
        set_executable(*interpreter);
      else
        return false;
      return true;
    }
    for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
      if (auto prefix = environment_(name); prefix && !prefix->empty()) {
        out_.chosen_by = name;
        out_.prefix = *prefix;
        if (auto own = out_.prefix / "bin/python3"; files_.is_file(own)) out_.executable = own;
        return true;
      }
    return locate_on_path();
  }

  bool locate_on_path() {
    auto path = findings_.is_here() ? environment_("PATH").value_or("") : std::string(kUsualPath);
    out_.chosen_by = findings_.is_here() ? "PATH" : "the usual PATH";
    for (const auto& folder : split_path(path)) {
      auto candidate = folder / "python3";
      if (!files_.is_file(candidate)) continue;
      if (folder.filename() == "shims") {
        auto behind = behind_shim(folder.parent_path());
        if (!behind) continue;  // "system": the next one on the path
        candidate = *behind;
      }
      set_executable(candidate);
      return true;
    }
    return false;
  }

  /// pyenv puts a script before every Python that asks which version is meant.
  std::optional<fs::path> behind_shim(const fs::path& root) const {
    auto version = environment_("PYENV_VERSION").value_or("");
    if (version.empty()) version = first_line(files_.read(root / "version", 4096).value_or(""));
    version = version.substr(0, version.find(':'));
    if (version.empty() || version.find('/') != std::string::npos) return std::nullopt;
    auto python = root / "versions" / version / "bin/python3";
    return files_.is_file(python) ? std::optional(python) : std::nullopt;
  }

  void set_executable(const fs::path& path) {
    out_.executable = path;
    out_.prefix = path.parent_path().parent_path();
  }

  void read_configuration() {
    auto text = files_.read(out_.prefix / "pyvenv.cfg");
    if (!text) return;
    is_virtual_ = true;
    configuration_ = parse_pyvenv_cfg(*text);
  }

  bool is_conda() const { return files_.is_folder(out_.prefix / "conda-meta"); }

  std::string configured(const std::string& key) const {
    auto found = configuration_.find(key);
    return found == configuration_.end() ? std::string() : found->second;
  }

  /// The folders below lib/ that bear a version's name.
  std::vector<PythonName> library_names(const fs::path& prefix) const {
    std::vector<PythonName> out;
    for (const char* lib : {"lib", "lib64"})
      for (const auto& name : files_.list(prefix / lib))
        if (auto parsed = parse_python_name(name)) out.push_back(*parsed);
    return out;
  }

  void set_version(PythonName name, std::string version, const fs::path& source, Certainty certainty) {
    out_.name = name;
    out_.version = std::move(version);
    out_.version_source = source.string();
    out_.version_certainty = certainty;
  }

  void find_version() {
    auto names = library_names(out_.prefix);
    for (const char* key : {"version_info", "version"}) {
      auto text = configured(key);
      auto version = MajorMinor::parse(text);
      if (!version || out_.name) continue;
      text = text.substr(0, std::min(text.find_first_not_of("0123456789."), text.size()));
      if (text.ends_with('.')) text.pop_back();
      PythonName name{.version = *version};
      name.free_threaded = std::ranges::find(names, PythonName{*version, true}) != names.end();
      set_version(name, shown(text), out_.prefix / "pyvenv.cfg", Certainty::read);
    }
    auto real = out_.executable.empty() ? std::nullopt : files_.real(out_.executable);
    if (auto name = real ? parse_python_name(real->filename().string()) : std::nullopt; name && !out_.name)
      set_version(*name, name->version.str(), *real, Certainty::inferred);
    if (!out_.name && !names.empty()) {
      auto newest = *std::ranges::max_element(names, {}, &PythonName::version);
      auto folder = "python" + newest.version.str() + (newest.free_threaded ? "t" : "");
      set_version(newest, newest.version.str(), out_.prefix / "lib" / folder, Certainty::inferred);
    }
    if (out_.name && !out_.name->free_threaded) out_.name->free_threaded = has_free_threaded_build();
  }

  /// The build's own description, for installations whose names do not tell.
  bool has_free_threaded_build() const {
    if (out_.name->version < MajorMinor{.major = 3, .minor = 13}) return false;
    auto library = base_prefix() / "lib" / ("python" + out_.name->version.str());
    return std::ranges::any_of(files_.list(library),
                               [](const auto& name) { return name.starts_with("_sysconfigdata_t_"); });
  }

  fs::path base_prefix() const {
    auto home = configured("home");
    return home.empty() ? out_.prefix : fs::path(home).parent_path();
  }

  bool fits(const std::string& folder) const {
    if (!folder.starts_with("python3")) return false;
    if (!out_.name || folder == "python3") return true;
    auto name = parse_python_name(folder);
    return name && name->version == out_.name->version;
  }

  /// In many environments lib64 is a link to lib.
  void add_site(const fs::path& site) {
    auto real = files_.is_folder(site) ? files_.real(site) : std::nullopt;
    if (!real || std::ranges::find(real_sites_, *real) != real_sites_.end()) return;
    real_sites_.push_back(std::move(*real));
    out_.sites.push_back(site);
  }

  void add_sites_of(const fs::path& prefix) {
    for (const char* lib : {"lib", "lib64"})
      for (const auto& name : files_.list(prefix / lib))
        if (fits(name))
          for (const char* packages : {"site-packages", "dist-packages"})
            add_site(prefix / lib / name / packages);
  }

  void add_virtual_sites() {
    add_sites_of(out_.prefix);
    if (configured("include-system-site-packages") == "true") add_base_sites(base_prefix());
  }

  void add_base_sites(const fs::path& prefix) {
    // Debian keeps what pip installs for the system's Python apart.
    if (prefix == "/usr") add_sites_of("/usr/local");
    add_sites_of(prefix);
  }

  void add_installed_sites() {
    for (const auto& folder : split_path(environment_("PYTHONPATH").value_or("")))
      add_site(folder);
    bool chosen = out_.chosen_by == "VIRTUAL_ENV" || out_.chosen_by == "CONDA_PREFIX";
    auto home = environment_("HOME").value_or("");
    // The user's own packages come before those of the installation, but not in an environment of its own.
    if (!chosen && !home.empty() && out_.name) add_sites_of(fs::path(home) / ".local");
    add_base_sites(out_.prefix);
    auto real = out_.executable.empty() ? std::nullopt : files_.real(out_.executable);
    if (real && real->parent_path() != out_.executable.parent_path())
      add_base_sites(real->parent_path().parent_path());
    if (findings_.out.target.os == "windows") add_site(out_.prefix / "Lib/site-packages");
  }

  const Findings& findings_;
  const Sysroot& files_;
  const Environment& environment_;
  bool is_virtual_ = false;
  std::map<std::string, std::string> configuration_;
  std::vector<fs::path> real_sites_;
  PythonEnvironment out_;
};

}  // namespace

std::optional<PythonEnvironment> find_environment(const Findings& findings,
                                                  const std::optional<fs::path>& interpreter) {
  return EnvironmentFinder(findings).find(interpreter);
}

static void report_python(Findings& findings, const PythonEnvironment& python) {
  auto& target = findings.out.target;
  findings.fact(Topic::python, "python environment", python.kind + " " + python.prefix.string(),
                python.chosen_by,
                python.chosen_by == "the usual PATH" ? Certainty::assumed : Certainty::read);
  if (!python.name) return;
  target.python = python.name->version;
  auto version = python.version + (python.name->free_threaded ? ", without the GIL" : "");
  findings.fact(Topic::python, "python", version, python.version_source, python.version_certainty);
  // Later ones have a stable ABI for builds without the GIL too.
  target.free_threaded_python =
      python.name->free_threaded && python.name->version < MajorMinor{.major = 3, .minor = 15};
}

void find_python(Findings& findings, const std::optional<fs::path>& interpreter) {
  auto python = find_environment(findings, interpreter);
  if (python) {
    report_python(findings, *python);
    if (python->kind == "conda") findings.conda_prefix = python->prefix;
  } else {
    findings.fact(Topic::python, "python", "none", "none found", Certainty::read);
  }
  if (python) findings.out.python_packages = python->sites;
  if (python) findings.out.interpreter = python->executable;
  find_frameworks(findings, findings.out.python_packages);
}

}  // namespace kernels::machine
