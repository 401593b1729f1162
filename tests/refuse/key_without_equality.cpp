// SPDX-License-Identifier: MIT
// expect: the maps of a report find a task by ==, which this task type does not have
#include <taskmgr/taskmgr.hpp>

#include <vector>

class Job {
 public:
  explicit Job(int number) : number_{number} {}
  int number() const { return number_; }
#ifdef ALLOWED
  bool operator==(const Job&) const = default;
#endif

 private:
  int number_;
};

int main() {
  const taskmgr::TaskManager manager{&Job::number};
  const auto report = manager.start(std::vector{Job{1}, Job{2}});
  return report.success_map().at(Job{1});
}
