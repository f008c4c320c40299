"""简单的性能测试：python performance.py [秒数]，默认 60 秒，5 个线程。

它只有闭环（上一个请求完成才发下一个）。要分位数、首 token 时间和固定速率，请用 qchat bench。
"""

import os
import sys
import threading
import time
from collections import Counter
from statistics import mean, median

import requests

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
THREADS = 5


def ask(session):
    """发一个请求，返回（秒数，生成的 token 数）。出错时抛出 requests.RequestException。"""
    start = time.perf_counter()
    response = session.post(
        f"{BASE_URL}/v1/chat/completions",
        headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
        json={
            "model": "Qwen3-32B",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 10,
        },
        timeout=(5, 600),
    )
    response.raise_for_status()
    return time.perf_counter() - start, response.json()["usage"]["completion_tokens"]


def performance_test(duration):
    """打印结果，返回成功的请求数。"""
    with requests.Session() as session:
        ask(session)  # 预热，不计入结果；服务没有运行时在这里就会报错
    results = []
    errors = Counter()
    start = time.perf_counter()

    def worker():
        with requests.Session() as session:  # 每个线程一个会话，连接可以复用
            while time.perf_counter() - start < duration:
                try:
                    results.append(ask(session))
                except requests.RequestException as error:
                    errors[str(error)] += 1
                    time.sleep(0.5)

    threads = [threading.Thread(target=worker) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start  # 最后的请求会超出 duration

    if results:
        seconds = [result[0] for result in results]
        print(f"平均响应时间: {mean(seconds):.3f}s（中位数 {median(seconds):.3f}s）")
        print(f"总请求数: {len(results)}")
        print(f"QPS: {len(results) / elapsed:.2f}")
        print(f"输出速度: {sum(result[1] for result in results) / elapsed:.1f} token/s")
    for reason, count in errors.items():
        print(f"失败 {count} 次: {reason}", file=sys.stderr)
    return len(results)


if __name__ == "__main__":
    try:
        succeeded = performance_test(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
    except requests.RequestException as error:
        sys.exit(f"请求失败：{error}")
    sys.exit(0 if succeeded else 1)
