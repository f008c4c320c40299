"""Words for questions that the demo model does not know: a(thing), v(erb), p(ast), n(ame).

None of them is a subject of the corpus. The held-out ones are never shown in training.
"""

from __future__ import annotations

WORDS = {
    "en": {
        "a": (
            "apple banana bridge castle camera carpet chair cheese clock cloud coat computer "
            "cookie doctor dog door dragon drum eagle engine farmer fish flower forest "
            "garden ghost glass goat guitar hammer hat horse house island jacket jungle "
            "kettle king kitchen knife ladder lamp letter lion market mirror monkey mountain "
            "mouse novel ocean onion orange painting paper pencil piano picture pizza planet "
            "plant pocket potato queen rabbit radio recipe ring river robot rocket school "
            "shirt shoe snake soup spider spoon star stone storm sugar table teacher tiger "
            "tomato train tree truck umbrella valley village violin wagon wheel whale window "
            "wolf law tax lawsuit disease medicine vaccine budget stock bond currency "
            "contract holiday wedding museum theory theorem proof equation triangle atom "
            "molecule protein cell virus galaxy comet war treaty empire revolution religion "
            "philosopher painter poet footballer singer film movie keyboard website browser "
            "laptop phone printer database compiler password network router"
        ),
        "v": (
            "bake borrow bring build buy carry catch change choose clean climb close cook "
            "count cut dance design draw drink drive eat explain find fix fly fold forget "
            "grow hide hold hunt invent learn lift lose love mend move open order paint plan "
            "plant play pull push read repair ride sell send sew sing solve steal study "
            "sweep teach throw touch trade train visit wash weigh"
        ),
        "p": (
            "built bought broke discovered designed found founded invented lost made painted "
            "sold started stole won wrote"
        ),
        "n": (
            "Africa Amsterdam Argentina Austria Berlin Brazil Cairo Canada Chicago Chile "
            "Denmark Dublin Egypt Einstein England Finland Florence Greece Iceland India "
            "Istanbul Italy Japan Kenya Lisbon London Madrid Mars Mexico Monday Moscow "
            "Mozart Napoleon Newton Norway Oxford Peru Poland Prague Rome Saturn Scotland "
            "Shakespeare Spain Sweden Sydney Texas Tokyo Turkey Venice Vienna Picasso Darwin "
            "Tesla Galileo Homer Madonna Batman Google Amazon Windows Linux Toyota Boeing"
        ),
    },
    "zh": {
        "a": (
            "苹果 香蕉 桥 城堡 相机 地毯 椅子 奶酪 时钟 云 大衣 电脑 饼干 医生 小狗 门 龙 鼓 "
            "老鹰 发动机 农民 鱼 花 森林 花园 玻璃 山羊 吉他 锤子 帽子 马 房子 岛 夹克 水壶 "
            "国王 厨房 刀 梯子 台灯 狮子 市场 镜子 猴子 山 小说 海洋 洋葱 橙子 油画 纸 铅笔 "
            "钢琴 照片 披萨 行星 植物 口袋 土豆 兔子 收音机 菜谱 戒指 河 火箭 学校 衬衫 鞋子 "
            "蛇 汤 蜘蛛 勺子 星星 石头 糖 老师 老虎 西红柿 火车 树 卡车 雨伞 村庄 小提琴 "
            "轮子 鲸鱼 窗户 狼 电影 足球 股票 基金 法律 合同 税 疾病 感冒 药 疫苗 细胞 病毒 "
            "原子 分子 蛋白质 方程 三角形 微积分 黑洞 银河 彗星 战争 条约 革命 宗教 哲学 "
            "画家 诗人 歌手 婚礼 博物馆 工资 保险 面试 简历 手机 键盘 网站 浏览器 打印机 "
            "数据库 密码 路由器 编译器 红烧肉 饺子 茶 咖啡 牛奶 面包 减肥 跑步 游泳 睡眠 "
            "头疼 考试 作文 英语 数学 物理 化学 历史 地理 天气 房价 汽车 飞机"
        ),
        "v": (
            "做 买 卖 修理 打扫 选择 学习 种植 制作 设计 画 搬 找到 打开 关闭 清洗 安装 使用 "
            "练习 解决 喝 吃 看 带 送 借 换 教 研究 参观 保存 运输 证明 计算 准备 治疗"
        ),
        "n": (
            "北京 上海 广州 成都 杭州 西安 南京 武汉 拉萨 香港 台北 东京 首尔 巴黎 伦敦 纽约 "
            "柏林 罗马 莫斯科 悉尼 德国 日本 印度 巴西 埃及 加拿大 意大利 西班牙 俄罗斯 "
            "非洲 长江 黄河 泰山 火星 月球 李白 杜甫 孔子 牛顿 爱因斯坦 曹操 秦始皇 鲁迅 "
            "孙悟空 林黛玉 华为 腾讯 微软 苹果公司 特斯拉"
        ),
    },
}

HELD_OUT_WORDS = {
    "en": {
        "a": (
            "candle elephant ferry helmet penguin saxophone tractor volcano zebra cactus "
            "lantern microscope parliament sandwich telescope bicycle glacier hospital "
            "lawyer ticket"
        ),
        "v": "decorate measure photograph polish rescue translate import",
        "p": "composed directed imported",
        "n": "Portugal Thailand Hamburg Beethoven Jupiter Nigeria Seattle Cleopatra",
    },
    "zh": {
        "a": (
            "蜡烛 大象 头盔 企鹅 拖拉机 火山 斑马 仙人掌 灯笼 显微镜 三明治 望远镜 自行车 "
            "冰川 律师 车票 豆腐 围棋"
        ),
        "v": "装饰 测量 翻译 救援 进口",
        "n": "葡萄牙 泰国 苏州 贝多芬 木星 重庆 岳飞",
    },
}
