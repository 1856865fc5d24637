#include "binding/task.h"

#include "binding/errors.h"

namespace holdfast::binding {

napi_value Task::start(napi_env env, const char* name, Work work, Finish finish) {
  auto task = std::unique_ptr<Task>(new Task(std::move(work), std::move(finish)));
  napi_value promise = nullptr, resource_name = nullptr;
  if (napi_create_promise(env, &task->deferred_, &promise) != napi_ok)
    return nullptr;  // being terminated
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource_name);
  napi_create_async_work(env, nullptr, resource_name, &Task::execute, &Task::complete, task.get(),
                         &task->async_work_);
  if (napi_queue_async_work(env, task->async_work_) != napi_ok) {
    napi_delete_async_work(env, task->async_work_);
    return throw_status(
        env, Status(Code::kNoMemory, std::string("Node.js could not queue the work: ") + name));
  }
  task.release();  // complete() takes it back
  return promise;
}

void Task::execute(napi_env, void* data) {
  Task* task = static_cast<Task*>(data);
  task->status_ = task->work_();
}

void Task::complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  napi_delete_async_work(env, task->async_work_);
  // What fails from here on fails because the environment is being terminated: there is nobody left
  // to tell.
  if (!task->status_.is_ok()) {
    napi_value error = error_of(env, task->status_);
    if (error != nullptr) napi_reject_deferred(env, task->deferred_, error);
    return;
  }
  napi_value value = task->finish_ ? task->finish_(env) : nullptr;
  if (value == nullptr && napi_get_undefined(env, &value) != napi_ok) return;
  napi_resolve_deferred(env, task->deferred_, value);
}

}  // namespace holdfast::binding
